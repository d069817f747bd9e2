"""Invoices over HTTP: drawn up by hand, issued, discarded, listed, and called by the clock.

An application whose clock stands where a test puts it; its tenants live in zones ahead of UTC,
behind it and at a quarter hour.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest
from starlette.applications import Starlette

from api import ids
from api.app import create_app
from api.settings import Clock, Settings
from domain.periods import DAY, zone
from persistence import account_payments, invoice_lists, journal
from tests.api.conftest import TENANT_CREATE, Ask, Json
from tests.api.sockets import until
from tests.api.test_dashboard import asked
from tests.conftest import OPERATOR_KEY, Database

__all__ = ["asked"]  # a fixture

KeyOf = Callable[..., Awaitable[str]]

#: 2026-11-20 12:00 in Jakarta.
NOON = 1_795_150_800_000_000
ZONES = {"one": "Asia/Jakarta", "two": "America/Bogota", "three": "Asia/Kathmandu"}


class Hands(Clock):
    """A clock that is set."""

    def __init__(self) -> None:
        self.at = NOON

    def now(self) -> int:
        return self.at


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
async def app(database: Database, redis_url: str, clock: Hands) -> AsyncIterator[Starlette]:
    settings = Settings(
        database_url=database.app_url, redis_url=redis_url, operator_key=OPERATOR_KEY
    )
    app = create_app(settings, clock)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def tenants(ask: Ask) -> list[str]:
    for key, timezone in ZONES.items():
        given = {"key": key, "plan": "omnichannel-idr", "timezone": timezone, "locale": "id"}
        answer = await ask(TENANT_CREATE, input=given)
        assert answer["data"]["tenantCreate"]["userErrors"] == []
    return [*ZONES]


ERRORS = "userErrors { field code message }"
DRAW = f"""mutation ($input: InvoiceCreateInput!) {{ invoiceCreate(input: $input) {{ {ERRORS}
  invoice {{ id number status origin note issuedOn dueOn currency
    buyer {{ name key country }} taxes {{ name amount {{ value }} }}
    lines {{ kind description quantity unit price exact amount {{ value currency }} balance
      category market rule period {{ from until }} of }}
    net {{ value }} tax {{ value }} total {{ value }} rounding {{ value }} balance {{ value }}
    paid {{ value }} credited {{ value }} payments {{ id }} creditNotes {{ number }} }} }} }}"""
ISSUE = f"""mutation ($input: InvoiceIssueInput!) {{ invoiceIssue(input: $input) {{ {ERRORS}
  invoice {{ id number status issuedOn dueOn month balance {{ value formatted }} }} }} }}"""
DISCARD = f"""mutation ($input: InvoiceDiscardInput!) {{ invoiceDiscard(input: $input) {{ {ERRORS}
  id }} }}"""
LIST = """query ($tenant: String!, $first: Int, $after: String, $status: [InvoiceStatus!],
    $number: String, $issued: IssuedInput) {
  tenant(key: $tenant) { invoices(first: $first, after: $after, status: $status, number: $number,
      issued: $issued) { nodes { id number status balance { value } }
    pageInfo { hasNextPage endCursor } } } }"""
ONE = """query ($tenant: String!, $number: String!) { tenant(key: $tenant) {
  invoice(number: $number) { status asOf statusChangesAt dueOn balance { value } }
  creditNote(number: $number) { number } } }"""
NODE = "query ($id: ID!) { node(id: $id) { id ... on Invoice { number status } } }"

LINES = [{"description": "Training", "quantity": "2.5", "unit": "hour", "price": "400000"}]


async def drawn(ask: Ask, key: str = "d", **more: Any) -> Json:
    given = {"tenant": "one", "lines": LINES, "idempotencyKey": key, **more}
    answer: Json = (await ask(DRAW, input=given))["data"]["invoiceCreate"]
    return answer


async def issue(ask: Ask, key: str = "i", **more: Any) -> Json:
    given = {"tenant": "one", "idempotencyKey": key, **more}
    answer: Json = (await ask(ISSUE, input=given))["data"]["invoiceIssue"]
    return answer


async def issued(ask: Ask, tenant: str = "one", key: str = "d") -> Json:
    """An invoice of 1,110,000 or so, as its issue answers it."""
    draft = await drawn(ask, key, tenant=tenant)
    done = await issue(ask, f"{key}-issued", tenant=tenant, invoice=draft["invoice"]["id"])
    assert done["userErrors"] == []
    found: Json = done["invoice"]
    return found


async def listed(ask: Ask, tenant: str = "one", **more: Any) -> Json:
    answer = await ask(LIST, tenant=tenant, **more)
    found: Json = answer["data"]["tenant"]["invoices"]
    return found


def codes(payload: Json) -> list[tuple[str, str | None]]:
    return [(each["code"], each["field"]) for each in payload["userErrors"]]


async def test_an_invoice_by_hand_is_a_draft_until_it_is_issued(
    ask: Ask, tenants: list[str], key_of: KeyOf
) -> None:
    """IN-3, IN-4, IN-5, IN-6: exact lines, tax, no number; then one, once per key, for ever."""
    lines = [
        *LINES,
        {"description": "Off", "quantity": "3", "unit": "unit", "price": "-33.3333"},
    ]
    made = await drawn(ask, lines=lines, note="Thank you.")
    assert made["userErrors"] == []
    draft = made["invoice"]
    assert (draft["number"], draft["status"], draft["origin"], draft["issuedOn"]) == (
        None, "DRAFT", "BY_HAND", None,
    )  # fmt: skip
    assert draft["note"].startswith("Thank you.")
    assert [(line["kind"], line["quantity"], line["price"], line["exact"], line["amount"]["value"])
            for line in draft["lines"]] == [
        ("OTHER", "2.5", "400000", "1000000", "1000000"),
        ("OTHER", "3", "-33.3333", "-99.9999", "-100"),
    ]  # fmt: skip
    # 12 % on 11/12 of 999,900.
    assert [draft[name]["value"] for name in ("net", "tax", "total", "balance", "rounding")] == [
        "999900", "109989", "1109889", "1109889", "-0.0001",
    ]  # fmt: skip
    assert (await drawn(ask, lines=lines, note="Thank you."))["invoice"] == draft
    assert codes(await drawn(ask, lines=LINES)) == [("IDEMPOTENCY_KEY_REUSED", "idempotencyKey")]

    # Until it is issued nobody else sees it.
    reader = await key_of("one", "billing:read")
    assert [each["id"] for each in (await listed(ask))["nodes"]] == [draft["id"]]
    assert (await listed(ask, key=reader))["nodes"] == []
    assert (await listed(ask, key=reader, status=["DRAFT"]))["nodes"] == []
    assert (await ask(NODE, id=draft["id"], key=reader))["data"]["node"] is None
    assert (await ask(NODE, id=draft["id"]))["data"]["node"]["status"] == "DRAFT"

    done = await issue(ask, invoice=draft["id"])
    assert done["userErrors"] == []
    invoice = done["invoice"]
    assert (invoice["id"], invoice["status"], invoice["issuedOn"], invoice["dueOn"]) == (
        draft["id"], "POSTED", "2026-11-20", "2026-12-04",
    )  # fmt: skip
    assert invoice["number"].endswith("-2026-000001")
    assert await issue(ask, invoice=draft["id"]) == done
    assert codes(await issue(ask, "other", invoice=draft["id"])) == [("ALREADY_ISSUED", "invoice")]
    found = (await ask(NODE, id=draft["id"], key=reader))["data"]["node"]
    assert found == {"id": draft["id"], "number": invoice["number"], "status": "POSTED"}
    stranger = await key_of("two", "billing:read")
    assert (await ask(NODE, id=draft["id"], key=stranger))["data"]["node"] is None
    assert (await listed(ask, "two", key=stranger))["nodes"] == []


NOT_ON_AN_INVOICE = [
    ([], "INVALID", "lines"),
    ([{**LINES[0], "quantity": "0"}], "INVALID", "lines[0].quantity"),
    ([{**LINES[0], "quantity": "-1"}], "INVALID", "lines[0].quantity"),
    ([*LINES, {**LINES[0], "price": "900000000000"}], "INVALID", "lines[1]"),
    ([{**LINES[0], "quantity": "1", "price": "60000000000"}] * 2, "INVALID", "lines"),
    ([{**LINES[0], "price": "-1"}], "BELOW_ZERO", "lines"),
    ([{**LINES[0], "description": " "}], "INVALID_TEXT", "lines[0].description"),
    ([{**LINES[0], "unit": "a\u0000"}], "INVALID_TEXT", "lines[0].unit"),
]


async def test_what_cannot_be_on_an_invoice_is_refused(
    ask: Ask, tenants: list[str], subtests: pytest.Subtests
) -> None:
    """IN-4, IN-5: with the place of what is wrong, and nothing is kept."""
    for lines, code, field in NOT_ON_AN_INVOICE:
        with subtests.test(lines=lines):
            assert codes(await drawn(ask, lines=lines)) == [(code, field)]
            assert (await listed(ask))["nodes"] == []


async def test_a_draft_is_discarded(ask: Ask, tenants: list[str]) -> None:
    """IN-3: it had no number, so none is left out; its key says that it is gone."""
    draft = (await drawn(ask))["invoice"]
    given = {"tenant": "one", "invoice": draft["id"], "idempotencyKey": "x"}
    for _ in range(2):
        answer = (await ask(DISCARD, input=given))["data"]["invoiceDiscard"]
        assert answer == {"id": draft["id"], "userErrors": []}
    assert (await listed(ask))["nodes"] == []
    assert codes(await drawn(ask)) == [("NOT_FOUND", "idempotencyKey")]
    assert codes(await issue(ask, invoice=draft["id"])) == [("NOT_FOUND", "invoice")]
    invoice = await issued(ask, key="next")
    assert invoice["number"].endswith("-000001")
    given = {"tenant": "one", "invoice": invoice["id"], "idempotencyKey": "y"}
    answer = (await ask(DISCARD, input=given))["data"]["invoiceDiscard"]
    assert codes(answer) == [("ALREADY_ISSUED", "invoice")]


async def test_what_is_to_be_issued_is_named_once(ask: Ask, tenants: list[str]) -> None:
    """IN-7: a draft or a closed period; an open one has no invoice yet."""
    nobody = ids.encode("inv", 999)
    assert codes(await issue(ask)) == [("INVALID", "invoice")]
    assert codes(await issue(ask, invoice=nobody, period="2026-10")) == [("INVALID", "invoice")]
    assert codes(await issue(ask, invoice=nobody)) == [("NOT_FOUND", "invoice")]
    assert codes(await issue(ask, invoice="x")) == [("NOT_FOUND", "invoice")]
    assert codes(await issue(ask, period="2026-13")) == [("INVALID", "period")]
    assert codes(await issue(ask, period="2026-10")) == [("PERIOD_OPEN", "period")]
    assert codes(await issue(ask, tenant="nobody", invoice=nobody)) == [("NOT_FOUND", "tenant")]


async def test_each_tenants_clock_says_what_its_invoice_is_called(
    ask: Ask, tenants: list[str], clock: Hands
) -> None:
    """IN-2: posted, unpaid and overdue from the tenant's own midnights on, wherever it lives."""
    for tenant, name in ZONES.items():
        clock.at = NOON
        local = zone(name)
        invoice = await issued(ask, tenant)
        due = local.date(NOON) + 14
        start, end = local.day_bounds(due)
        for now, called in (
            (NOON, "POSTED"), (start - 1, "POSTED"), (start, "UNPAID"), (end - 1, "UNPAID"),
            (end, "OVERDUE"), (end + 90 * DAY, "OVERDUE"),
        ):  # fmt: skip
            clock.at = now
            answer = await ask(ONE, tenant=tenant, number=invoice["number"])
            found = answer["data"]["tenant"]["invoice"]
            assert (found["status"], answer["data"]["tenant"]["creditNote"]) == (called, None)
            ids_of = {
                status: [
                    each["id"] for each in (await listed(ask, tenant, status=[status]))["nodes"]
                ]
                for status in ("POSTED", "UNPAID", "OVERDUE", "PAID", "VOID", "DRAFT")
            }
            assert ids_of.pop(called) == [invoice["id"]], (name, now)
            assert set(map(len, ids_of.values())) == {0}
            assert (found["statusChangesAt"] is None) == (called == "OVERDUE")


async def test_pages_stay_where_they_are(ask: Ask, tenants: list[str], clock: Hands) -> None:
    """Whoever fetches a page at a time has each invoice once, whatever is issued meanwhile."""
    numbers = [(await issued(ask, key=f"k{n}"))["number"] for n in range(4)]
    clock.at += 3 * DAY
    page = await listed(ask, first=2)
    assert [each["number"] for each in page["nodes"]] == numbers[:1:-1]
    assert page["pageInfo"]["hasNextPage"]
    new = (await issued(ask, key="new"))["number"]
    rest = await listed(ask, first=2, after=page["pageInfo"]["endCursor"])
    assert [each["number"] for each in rest["nodes"]] == numbers[1::-1]
    assert not rest["pageInfo"]["hasNextPage"]
    of_day = await listed(ask, issued={"from": "2026-11-20", "until": "2026-11-20"})
    assert [each["number"] for each in of_day["nodes"]] == numbers[::-1]
    of_day = await listed(ask, issued={"from": "2026-11-21"}, status=["POSTED", "OVERDUE"])
    assert [each["number"] for each in of_day["nodes"]] == [new]
    assert [each["number"] for each in (await listed(ask, number=numbers[1]))["nodes"]] == [
        numbers[1]
    ]


NOT_ASKED = [
    {"first": 101}, {"first": 0}, {"after": "x"}, {"status": []}, {"number": "a\u0000"},
    {"issued": {"from": "2026-11-21", "until": "2026-11-20"}},
]  # fmt: skip


async def test_what_cannot_be_asked_is_refused(
    ask: Ask, tenants: list[str], subtests: pytest.Subtests
) -> None:
    for wrong in NOT_ASKED:
        with subtests.test(wrong=wrong):
            answer = await ask(LIST, tenant="one", **wrong)
            assert [each["extensions"]["code"] for each in answer["errors"]] == ["BAD_USER_INPUT"]


async def test_lists_of_many_tenants_come_together(
    asked: list[str], ask: Ask, tenants: list[str], key_of: KeyOf
) -> None:
    """PE-1: each tenant has its own, by one statement for all; without the scope nobody has any."""
    for tenant in tenants:
        await issued(ask, tenant)
    text = """{ tenants(first: 3) { nodes { key invoices(first: 5) { nodes { number status
      download { url name } payments { amount { value } } creditNotes { number } } }
      creditNotes(first: 5) { nodes { number } } } } }"""
    asked.clear()
    found = (await ask(text))["data"]["tenants"]["nodes"]
    of_invoices = [each for each in asked if "from invoices i" in each or "join invoices i" in each]
    assert len(of_invoices) == 3  # invoices, credit notes, and notes of invoices
    assert len([each for each in asked if "join allocations" in each]) == 1
    assert {each["key"]: len(each["invoices"]["nodes"]) for each in found} == dict.fromkeys(
        tenants, 1
    )
    assert all(each["invoices"]["nodes"][0]["download"]["url"] for each in found)
    key = await key_of("one", "usage:read")
    for field in (
        "invoices { nodes { number } }",
        'invoice(number: "x") { number }',
        "creditNotes { nodes { number } }",
        'creditNote(number: "x") { number }',
    ):
        answer = await ask(f'{{ tenant(key: "one") {{ {field} }} }}', key=key)
        assert [each["extensions"]["code"] for each in answer["errors"]] == ["FORBIDDEN"]


def paged(lines: str, first: int = 100) -> str:
    return f"""{{ tenant(key: "one") {{ invoices(first: {first}) {{ nodes {{
      number lineCount {lines} }} }} }} }}"""


async def test_lines_come_as_far_as_they_are_asked_for(
    asked: list[str], ask: Ask, tenants: list[str]
) -> None:
    """IN-4, PE-1: a page of invoices reads no line that nobody asked for, and never all of many."""
    lines = [{**LINES[0], "description": str(number)} for number in range(9)]
    draft = (await drawn(ask, lines=lines))["invoice"]
    assert len(draft["lines"]) == 9
    await issue(ask, invoice=draft["id"])
    await issued(ask, key="other")

    async def found(text: str) -> list[Json]:
        asked.clear()
        nodes: list[Json] = (await ask(text))["data"]["tenant"]["invoices"]["nodes"]
        return nodes

    assert [each["lineCount"] for each in await found(paged(""))] == [1, 9]
    assert [each for each in asked if "$.lines" in each] == []
    some = await found(paged("lines(first: 3, after: 7) { description }"))
    assert [[line["description"] for line in each["lines"]] for each in some] == [[], ["7", "8"]]
    assert len([each for each in asked if "$.lines" in each]) == 1
    for wrong in ("first: 0", "first: 1001", "after: -1", "after: 2147483647"):
        answer = await ask(paged(f"lines({wrong}) {{ description }}", first=1))
        assert [each["extensions"]["code"] for each in answer["errors"]] == ["BAD_USER_INPUT"]


COUNTED = [
    (100, "lines { description }", 20_000),
    (100, "lines(first: 9) { description quantity }", 1_800),
    (1, "lines(first: 1000) { description }", 1_000),
    (1, "lines(first: 5000) { description }", 1_000),
    (100, "lines { kind quantity unit price exact amount { value } }", None),
    (100, "lines(first: 1000) { description }", None),
]


async def test_what_lines_may_come_is_counted(
    asked: list[str], ask: Ask, tenants: list[str], subtests: pytest.Subtests
) -> None:
    """Many invoices with all that each says are refused before any of it is looked up."""
    for first, lines, cost in COUNTED:
        with subtests.test(first=first, lines=lines):
            asked.clear()
            answer = await ask(paged(lines, first))
            if cost is None:
                (error,) = answer["errors"]
                assert error["extensions"]["code"] == "BAD_USER_INPUT"
                assert "cost" in error["message"]
                assert [each for each in asked if "invoices" in each] == []
            else:
                # The lines, and what else there is of each invoice.
                assert answer["extensions"]["cost"] == cost + 4 * first + 2


async def test_what_is_issued_last_comes_first(
    ask: Ask, tenants: list[str], key_of: KeyOf, clock: Hands
) -> None:
    """IN-3: whenever it was drawn up, so who reads until a known number has all that came since."""
    reader = await key_of("one", "billing:read")
    drafts = [(await drawn(ask, f"early-{place}"))["invoice"]["id"] for place in range(3)]
    first = await issued(ask, key="first")
    clock.at += 1
    page = await listed(ask, first=1, key=reader)
    late = (await issue(ask, "late", invoice=drafts[1]))["invoice"]
    clock.at += 1
    last = await issued(ask, key="last")
    known = [last["id"], late["id"], first["id"]]
    assert [each["id"] for each in (await listed(ask, key=reader))["nodes"]] == known
    assert [each["id"] for each in page["nodes"]] == [first["id"]]
    # One at a time, as an operator sees it: drafts are before the rest.
    found, after = [], None
    for _ in range(5):
        page = await listed(ask, first=1, after=after)
        found += [each["id"] for each in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
    assert found == [drafts[2], drafts[0], *known]
    assert not page["pageInfo"]["hasNextPage"]


SUBSCRIBE = """mutation ($input: SubscriptionCreateInput!) { subscriptionCreate(input: $input) {
  userErrors { message } } }"""
LINES_OF = """{ tenant(key: "one") { invoices { nodes { origin month period { from until }
  lines { kind exact period { from until } } } } } }"""


async def test_a_subscriptions_first_days_are_on_an_invoice(
    ask: Ask,
    tenants: list[str],
    app: Starlette,
) -> None:
    """IN-1: each line says which local days it is for; the invoice is of no closed period."""
    given = {
        "tenant": "one", "name": "Growth", "idempotencyKey": "s",
        "components": [{"key": "a", "name": "Seats", "unit": "seat", "price": "300000"}],
    }  # fmt: skip
    made = await ask(SUBSCRIBE, input=given)
    assert made["data"]["subscriptionCreate"]["userErrors"] == []

    async def issued_by_itself() -> bool:
        await app.state.core.engines.tasks.quiet()
        return bool((await listed(ask))["nodes"])

    await until(issued_by_itself)
    (invoice,) = (await ask(LINES_OF))["data"]["tenant"]["invoices"]["nodes"]
    days = {"from": "2026-11-20", "until": "2026-11-30"}
    assert invoice == {
        "origin": "START", "month": None, "period": None,
        "lines": [{"kind": "RECURRING", "exact": "110000", "period": days}],
    }  # fmt: skip


TOGETHER = """{ tenant(key: "one") {
  account { open { value } statement { closing { value } } }
  invoices(first: 100) { nodes { number balance { value } } } } }"""


async def test_an_account_is_left_what_its_invoices_are(
    ask: Ask, tenants: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where one is issued before each of the statements that a query is answered by."""
    await issued(ask)
    reading = 0

    def beside(read: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def meanwhile(*arguments: Any, **options: Any) -> Any:
            nonlocal reading
            reading += 1
            await issued(ask, key=f"n{reading}")
            return await read(*arguments, **options)

        return meanwhile

    for module, name in (
        (account_payments, "figures"),
        (journal, "pages"),
        (invoice_lists, "pages"),
    ):
        monkeypatch.setattr(module, name, beside(getattr(module, name)))

    for _ in range(3):
        told = (await ask(TOGETHER))["data"]["tenant"]
        left = sum(
            Decimal(each["balance"]["value"])
            for each in told["invoices"]["nodes"]
            if each["number"] is not None
        )
        assert told["account"]["open"]["value"] == told["account"]["statement"]["closing"]["value"]
        assert Decimal(told["account"]["open"]["value"]) == left
    assert reading == 9
