"""What tenants say of themselves for invoices, who issues them, and from when (IN-3, IN-4)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from starlette.applications import Starlette

from api.app import create_app
from api.core import Core
from api.invoicing.parties import buyer_party, issuer_of, issuer_party, note_of, terms_of
from api.invoicing.scheduling import schedule
from api.log_file import Action as Line
from api.operations import issuer_publish
from api.operations.acting import Scene
from api.operations.issuer_publish import issuer_in
from api.redoing import Redoing
from api.redoing_billing import billing_set as redone
from api.settings import Clock, Settings
from domain.billing_profiles import Profile
from domain.book_documents import parse_book
from domain.invoices import Party
from domain.issuers import parse_issuer
from domain.periods import iso
from domain.plans import parse_plan
from domain.problems import Problem
from persistence import load, tasks, terms
from persistence.audit import COMMAND, acting_as
from persistence.catalogue import SAMPLES, Catalogue, lists_of, read_samples
from persistence.tenants import TenantRecord, find_by_keys
from tests.api.conftest import Ask, Json
from tests.conftest import OPERATOR_KEY, Database
from tests.domain.spine import at

KeyOf = Callable[..., Awaitable[str]]

BILLING = """name lines country taxId email reference issue termsDays invoicing
  issuer { key name lines country taxId email pay eInvoice }"""
SET = f"""mutation ($input: BillingSetInput!) {{ billingSet(input: $input) {{
  billing {{ {BILLING} }} userErrors {{ field code message }} }} }}"""
SHOWN = f'{{ tenant(key: "one") {{ billing {{ {BILLING} }} }} }}'

UNSAID = {
    "name": "one", "lines": [], "country": "ID", "taxId": None, "email": None, "reference": None,
    "issue": "AUTOMATIC", "termsDays": 14, "invoicing": False,
}  # fmt: skip
KUOTA = {
    "issuer": "kuota", "name": "PT Kuota", "lines": ["Jl. Sudirman 1", "Jakarta"], "country": "ID",
    "tax_id": "01.234.567.8-901.000", "email": "billing@kuota.example", "terms_days": 7,
    "pay": "BCA 123-456",
}  # fmt: skip


class Stands(Clock):
    """A clock that stands where a test puts it."""

    at = at("2026-11-16 10:00")

    def now(self) -> int:
        return self.at


@pytest.fixture
def clock() -> Stands:
    return Stands()


@pytest.fixture
async def app(database: Database, redis_url: str, clock: Stands) -> AsyncIterator[Starlette]:
    settings = Settings(
        database_url=database.app_url, redis_url=redis_url, operator_key=OPERATOR_KEY
    )
    app = create_app(settings, clock)
    async with app.router.lifespan_context(app):
        yield app


async def put(ask: Ask, *, key: str = OPERATOR_KEY, **given: Any) -> Json:
    asked = {"tenant": "one", "idempotencyKey": "k"} | given
    answer = await ask(SET, key=key, input=asked)
    found: Json = (answer["data"] or {}).get("billingSet") or answer
    return found


async def shown(ask: Ask) -> Json:
    found: Json = (await ask(SHOWN))["data"]["tenant"]["billing"]
    return found


def codes(found: Json) -> list[tuple[str | None, str]]:
    return [(each["field"], each["code"]) for each in found["userErrors"]]


async def published(app: Starlette, document: dict[str, Any], *, dry: bool = False) -> list[str]:
    """Publish an issuer as a command does; where its problems are."""
    core: Core = app.state.core
    with acting_as(COMMAND):
        done = await issuer_publish.run(
            core.door, core.catalogue, document, now=core.clock.now(), dry=dry
        )
    return [str(each) for each in done.problems] or (["new"] if done.new else [])


async def test_an_operator_says_all_of_it_and_a_tenant_its_own(
    app: Starlette, ask: Ask, tenants: list[str], key_of: KeyOf
) -> None:
    """IN-4: a tenant writes who it is; whose taxes, terms and whether at all are agreed with it."""
    first = await shown(ask)
    assert first.pop("issuer")["key"] is None
    assert first == UNSAID

    assert await published(app, KUOTA) == ["new"]
    agreed = {"issuer": "kuota", "issue": "REVIEW", "termsDays": 30, "country": "DE"}
    said = {"name": "Toko", "lines": ["Jl. Braga 1"], "taxId": "DE 123456789"}
    found = await put(ask, **agreed, **said)
    assert found["userErrors"] == []
    assert found["billing"] == UNSAID | agreed | said | {
        "issuer": {
            "key": "kuota", "name": "PT Kuota", "lines": ["Jl. Sudirman 1", "Jakarta"],
            "country": "ID", "taxId": "01.234.567.8-901.000", "email": "billing@kuota.example",
            "pay": "BCA 123-456", "eInvoice": False,
        },
    }  # fmt: skip

    # What a tenant writes is replaced as a whole; what is agreed with it stays.
    own = await key_of("one", "billing:write", "billing:read")
    found = await put(ask, key=own, name="  Toko Maju ", reference="PO 1", idempotencyKey="own")
    assert found["userErrors"] == []
    later = {"name": "Toko Maju", "lines": [], "taxId": None, "reference": "PO 1"}
    assert {name: found["billing"][name] for name in later} == later
    assert {name: found["billing"][name] for name in agreed if name != "issuer"} == {
        name: value for name, value in agreed.items() if name != "issuer"
    }
    # Null is the default, and what is left out stays.
    found = await put(ask, country=None, termsDays=None, idempotencyKey="default")
    told = found["billing"]
    assert (told["country"], told["termsDays"], told["issue"]) == ("ID", 7, "REVIEW")


@pytest.mark.parametrize(
    "given",
    [
        {"country": "DE"}, {"issuer": None}, {"issue": "REVIEW"}, {"termsDays": 365},
        {"invoicing": False}, {"country": "ID", "termsDays": 1},
    ],
)  # fmt: skip
async def test_what_is_agreed_a_tenant_does_not_write(
    ask: Ask, tenants: list[str], key_of: KeyOf, given: Json
) -> None:
    own = await key_of("one", "billing:write", "billing:read")
    before = await shown(ask)
    found = await put(ask, key=own, name="Toko", **given)
    assert codes(found) == [(name, "OPERATORS_ONLY") for name in given]
    assert found["billing"] is None
    assert await shown(ask) == before
    # Nothing was done under that key.
    assert (await put(ask, key=own, name="Toko"))["userErrors"] == []


async def test_who_may(ask: Ask, tenants: list[str], key_of: KeyOf) -> None:
    reads = await key_of("one", "billing:read")
    refused = await put(ask, key=reads, name="x")
    assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    others = await key_of("two", "billing:write")
    assert codes(await put(ask, key=others, name="x")) == [("tenant", "NOT_FOUND")]


async def test_all_that_is_wrong_comes_at_once_and_nothing_is_done(
    ask: Ask, tenants: list[str]
) -> None:
    before = await shown(ask)
    found = await put(
        ask, name="two\nlines", lines=["a", "a"], taxId="123", email="nobody", reference="x" * 301,
        country="id", issuer="nobody", termsDays=-1,
    )  # fmt: skip
    assert {each["field"] for each in found["userErrors"]} == {
        "name", "lines[1]", "taxId", "email", "reference", "country", "issuer", "termsDays",
    }  # fmt: skip
    assert {code for _, code in codes(found)} == {"INVALID"}
    assert await shown(ask) == before


async def test_in_7_the_same_key_does_it_once(ask: Ask, tenants: list[str]) -> None:
    first = await put(ask, name="Toko")
    assert await put(ask, name="Toko") == first
    assert codes(await put(ask, name="Other")) == [("idempotencyKey", "IDEMPOTENCY_KEY_REUSED")]


CLOSES = "select key, due_at from tasks where kind = $1 order by key"
HEAD = "select settings from tenant_head h join tenants t using (tenant_id) where t.key = 'one'"


async def test_invoicing_closes_the_current_period_first(
    app: Starlette, ask: Ask, tenants: list[str], clock: Stands
) -> None:
    """EV-3: some days after its end by the tenant's clock; every process reads its terms again."""
    core: Core = app.state.core

    async def seen() -> tuple[int, list[tuple[str, str]]]:
        async with core.door.tenant_tx(1) as connection:
            settings: int = await connection.fetchval(HEAD)
            rows = await connection.fetch(CLOSES, tasks.CLOSE)
        return settings, [(row["key"], iso(row["due_at"])) for row in rows]

    before, closes = await seen()
    assert closes == []
    await put(ask, name="Toko")
    assert await seen() == (before, [])
    found = await put(ask, invoicing=True, idempotencyKey="on")
    assert found["billing"]["invoicing"] is True
    november = [("2026-11", "2026-12-03T17:00:00Z")]
    assert await seen() == (before + 1, november)
    # Once more: nothing changed.
    await put(ask, invoicing=True, idempotencyKey="again")
    assert await seen() == (before + 1, november)
    off = await put(ask, invoicing=False, idempotencyKey="off")
    assert off["billing"]["invoicing"] is False
    assert await seen() == (before + 2, november)


async def test_what_is_closed_is_not_closed_again(
    app: Starlette, ask: Ask, tenants: list[str], database: Database, clock: Stands
) -> None:
    """A tenant whose November was closed by hand begins with December, on its third day."""
    core: Core = app.state.core
    clock.at = at("2026-12-20 10:00")
    async with core.door.tenant_tx(1) as connection:
        await connection.execute("update tenant_head set closed_until = $1", at("2026-12-01 00:00"))
        (own,) = await terms.by_ids(connection, core.catalogue, [1])
        october, january = 2026 * 12 + 9, 2027 * 12
        assert await schedule(connection, own, october, clock.at) == 2026 * 12 + 11
        assert await schedule(connection, own, january, clock.at) == january
        rows = await connection.fetch(CLOSES, tasks.CLOSE)
    assert [(row["key"], iso(row["due_at"])) for row in rows] == [
        ("2026-12", "2027-01-03T17:00:00Z"), ("2027-01", "2027-02-03T17:00:00Z"),
    ]  # fmt: skip


async def test_a_profile_from_a_log_schedules_nothing(
    app: Starlette, ask: Ask, tenants: list[str]
) -> None:
    """EV-8: what was said is said here; whoever goes on invoicing there does it alone."""
    core: Core = app.state.core
    body = {"profile": {"name": "Toko", "terms_days": 3}, "invoicing": True}
    now = core.clock.now()
    async with core.door.tenant_tx(1) as connection:
        head = (await load.lock(connection, [1], wait=True))[1]
        (own,) = await terms.by_ids(connection, core.catalogue, [1])
        scene = Scene(connection=connection, terms=own, state=load.state_of(head), now=now)
        line = Line(
            version=1, key="k", kind="BILLING_SET", at=now, content="", subject=None, body=body
        )
        done = await redone(Redoing(scene, core.catalogue, line, {}))
        assert done.body == {}
        assert await connection.fetch(CLOSES, tasks.CLOSE) == []
    found = await shown(ask)
    assert (found["name"], found["termsDays"], found["invoicing"]) == ("Toko", 3, True)


async def of_owner(database: Database, statement: str) -> list[asyncpg.Record]:
    owner = await asyncpg.connect(database.owner_url)
    try:
        return list(await owner.fetch(statement))
    finally:
        await owner.close()


async def test_in_3_an_issuer_is_published_once_and_replaced(
    app: Starlette, ask: Ask, tenants: list[str], database: Database
) -> None:
    core: Core = app.state.core
    stamp = core.catalogue.stamp
    assert await published(app, KUOTA, dry=True) == []
    assert core.catalogue.issuers == {}
    assert await published(app, KUOTA) == ["new"]
    assert await published(app, KUOTA) == []
    assert await published(app, KUOTA | {"terms_days": 30}) == ["new"]
    assert core.catalogue.stamp != stamp
    assert core.catalogue.issuers["kuota"].terms_days == 30
    # Another one numbers in other series, and in none that the first ever numbered in.
    other = KUOTA | {"issuer": "other"}
    assert [each.partition(":")[0] for each in await published(app, other)] == [
        "invoices", "credit_notes",
    ]  # fmt: skip
    await of_owner(database, "insert into document_series values ('kuota', 'OLD', 2026, 1)")
    again = other | {"invoices": "OLD", "credit_notes": "OLD-CN"}
    assert [each.partition(":")[0] for each in await published(app, again)] == ["invoices"]
    assert await published(app, again | {"invoices": "NEW"}) == ["new"]
    traced = await of_owner(database, "select from audit where what = 'issuerPublish'")
    assert len(traced) == 3
    # Two, and neither is the default: nobody asks until one is agreed.
    assert (await shown(ask))["issuer"] is None
    default = KUOTA | {"issuer": "default", "invoices": "D", "credit_notes": "D-CN"}
    assert await published(app, default) == ["new"]
    assert (await shown(ask))["issuer"]["key"] == "default"


def test_who_asks_whom() -> None:
    """The agreed one, else the default, else the only one; with none as the plan names it."""
    samples = read_samples(SAMPLES)
    document = samples["plan"]["omnichannel-idr"]
    body = samples["book"][document["book"]]
    plan = parse_plan(document, parse_book(body, 1, lists_of(body, samples["markets"])))
    one, default = (
        parse_issuer(KUOTA | {"issuer": key, "invoices": key.upper(), "credit_notes": "X"})
        for key in ("one", "default")
    )

    def of(*issuers: Any, agreed: str | None = None) -> str:
        known = Catalogue({}, {}, {}, {}, issuers={each.key: each for each in issuers})
        return issuer_of(known, Profile(issuer=agreed), plan).key

    assert (of(), of(one), of(one, default)) == ("", "one", "default")
    assert of(one, default, agreed="one") == "one"
    with pytest.raises(Problem, match="the issuer gone is not published"):
        of(one, agreed="gone")

    assert issuer_party(one) == Party(
        name="PT Kuota", lines=("Jl. Sudirman 1", "Jakarta"), country="ID",
        tax_id="01.234.567.8-901.000", email="billing@kuota.example", key="one",
    )  # fmt: skip
    assert note_of(one) == "BCA 123-456"
    assert (terms_of(one, Profile()), terms_of(one, Profile(terms_days=0))) == (7, 0)
    record = TenantRecord(
        tenant_id=1, key="toko", name="Toko", zones="", currency="IDR", country="ID", locale="id",
        plan="p", status="active", since=None, created_at=0,
    )  # fmt: skip
    assert buyer_party(record, Profile()) == Party(
        name="Toko", lines=(), country="ID", tax_id=None, email=None, key="toko"
    )
    assert buyer_party(record, Profile(name="PT Toko", country="DE", reference="PO 1")) == Party(
        name="PT Toko", lines=(), country="DE", tax_id=None, email=None, key="toko",
        reference="PO 1",
    )  # fmt: skip


def test_a_document_is_an_issuer_by_its_key() -> None:
    assert issuer_in('issuer = "x"\ndated = 2026-11-22') == {"issuer": "x", "dated": "2026-11-22"}
    assert issuer_in('book = "x"') is None
    assert issuer_in("no = toml = at all") is None


async def test_a_tenant_reads_what_it_said(ask: Ask, tenants: list[str], app: Starlette) -> None:
    core: Core = app.state.core
    await put(ask, name="Toko", taxId="02.111.222.3-444.000")
    record = (await find_by_keys(core.door, ["one"]))["one"]
    assert record.own_billing == Profile(name="Toko", tax_id="02.111.222.3-444.000")
