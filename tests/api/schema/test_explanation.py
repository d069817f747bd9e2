"""Explanations of what the rule book's own examples cost, as people read them.

Facts go through the real way in, explanations through the schema; sentences stand here in full, so
that who knows the rules and not the code can say whether they are right.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import asyncpg
import pytest
import strawberry
from strawberry.schema.config import StrawberryConfig

from api.context import Context
from api.rights import ALL_SCOPES, Principal
from api.schema.charge import TenantCharges
from api.schema.fact import TenantFacts
from api.schema.scalars import SCALARS
from domain.money import micros
from domain.periods import instant
from persistence import connection
from persistence.connection import Connection
from persistence.tenants import TenantRecord
from tests.scenarios.world import Json, World

NOBODY: Any = None  # intake, authenticator and the feed: nothing here asks for them
NUMBER = "628001234567"
ANN, BOB, AD = "6281110000010", "6281110000020", "6281110000030"


@strawberry.type
class Explained(TenantCharges, TenantFacts):
    """What is tested of a tenant."""


@strawberry.type
class Query:
    owner: strawberry.Private[TenantRecord]

    @strawberry.field
    def tenant(self) -> Explained:
        return Explained(record=self.owner)


SCHEMA = strawberry.Schema(Query, config=StrawberryConfig(scalar_map=SCALARS))


class Told:
    """A tenant with a number, facts as they happen, and what is said of them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._sent = 0

    async def begin(self, at: str, plan: str = "omnichannel-idr") -> None:
        self.world.clock.at = instant_of(at)
        await self.world.tenant("acme", plan=plan)
        await self.world.number("acme", "main", "whatsapp", NUMBER)

    async def happens(self, *events: tuple[str, str, str, dict[str, Any]]) -> list[str]:
        """Send (local time, type, contact, data), the clock with them; gives their ids."""
        items, ids = [], []
        for at, kind, contact, data in events:
            self._sent += 1
            ids.append(f"f{self._sent}")
            self.world.clock.at = max(self.world.clock.at, instant_of(at))
            items.append({
                "id": ids[-1], "source": "crm", "type": f"message.{kind}", "subject": "acme",
                "time": f"{at}+07:00",
                "data": {"number": f"+{NUMBER}", "contact": f"+{contact}"} | data,
            })  # fmt: skip
        results = await self.world.send(items)
        assert {result["status"] for result in results} <= {"accepted", "unrated"}, results
        return ids

    async def ask(self, fields: str) -> Json:
        world = self.world
        context = Context(
            principal=Principal("tenant", 1, "acme", ALL_SCOPES, None), door=world.door,
            catalogue=world.catalogue, intake=NOBODY, authenticator=NOBODY, now=world.clock.at,
            request_id="r", show=NOBODY, live=NOBODY, hub=NOBODY, settling=NOBODY,
            signing=NOBODY, public_url="", desk=NOBODY, directory=NOBODY, valkey=NOBODY,
            paying=NOBODY,
        )  # fmt: skip
        answer = await SCHEMA.execute(
            "{ tenant { %s } }" % fields,  # noqa: UP031 - braces are GraphQL's
            root_value=Query(owner=world.tenants["acme"]),
            context_value=context,
        )
        if answer.errors:
            return {"refused": answer.errors[0].message}
        assert answer.data is not None
        tenant: Json = answer.data["tenant"]
        return tenant

    async def fact(self, fact: str, fields: str) -> Json:
        found: Json = (await self.ask(f'fact(source: "crm", id: "{fact}") {{ {fields} }}'))["fact"]
        return found

    async def explained(self, fact: str, fields: str) -> Json:
        """Fields of the explanation of a fact's only charge."""
        found = await self.fact(fact, f"charges {{ explanation {{ {fields} }} }}")
        (charge,) = found["charges"]
        explanation: Json = charge["explanation"]
        return explanation

    async def says(self, fact: str, locale: str = "en") -> str:
        told = await self.fact(fact, f'sentence(locale: "{locale}")')
        return str(told["sentence"])


def instant_of(at: str) -> int:
    """A local time of Jakarta as an instant."""
    return instant(datetime.fromisoformat(f"{at}+07:00"))


SERVICE = {"text": "hello"}


def template(category: str) -> dict[str, Any]:
    return {"category": category, "template": "t"}


@pytest.fixture
async def heard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every statement of readers that is sent on a connection opened from now on."""
    statements: list[str] = []
    lower = connection.lower

    async def listen(opened: Connection) -> str:
        opened.add_query_logger(note)
        return await lower(opened)

    def note(query: asyncpg.connection.LoggedQuery) -> None:
        statements.append(query.query)

    monkeypatch.setattr(connection, "lower", listen)
    return statements


@pytest.fixture
async def told(heard: list[str], app_url: str, redis_url: str) -> AsyncIterator[Told]:
    async with World.open(app_url, redis_url) as world:
        yield Told(world)


async def test_a_conversation_and_what_it_covers(told: Told) -> None:
    """CO-1: inbound 10:00, answer 10:05: one until next day 10:05; then a second. The first is told
    from the log, after the contact has had its second."""
    await told.begin("2026-11-18T09:00:00")
    wrote, opened, covered, _, again, after = await told.happens(
        ("2026-11-18T10:00:00", "received", ANN, SERVICE),
        ("2026-11-18T10:05:00", "delivered", ANN, SERVICE),
        ("2026-11-19T10:04:59", "delivered", ANN, SERVICE),
        ("2026-11-19T10:30:00", "received", ANN, SERVICE),
        ("2026-11-19T10:31:00", "delivered", ANN, SERVICE),
        ("2026-11-19T10:32:00", "delivered", ANN, SERVICE),
    )

    assert await told.says(wrote) == (
        "The message from 6281110000010 was the contact's first on whatsapp in 2026-11: 1 of "
        "visitors by omnichannel-idr@2025-07-01/visitor; paid by the allowance of 2026-11."
    )
    assert await told.says(opened) == (
        "The service message to 6281110000010 opened a conversation, open until 2026-11-19 10:05, "
        "and cost 1 of conversations by omnichannel-idr@2026-10-01/conversation; paid by the "
        "allowance of 2026-11."
    )
    assert await told.says(covered) == (
        "The service message to 6281110000010 cost nothing by "
        "omnichannel-idr@2026-10-01/conversation: the paid conversation opened 2026-11-18 10:05 by "
        "fact f2, open until 2026-11-19 10:05, covers it."
    )
    assert await told.says(again, "id") == (
        "Pesan service ke 6281110000010 membuka percakapan, terbuka sampai 2026-11-20 10:31, dan "
        "berbiaya 1 dari conversations menurut omnichannel-idr@2026-10-01/conversation; dibayar "
        "oleh jatah 2026-11."
    )
    assert await told.says(after, "id") == (
        "Pesan service ke 6281110000010 tidak berbiaya menurut "
        "omnichannel-idr@2026-10-01/conversation: percakapan berbayar yang dibuka 2026-11-19 10:31 "
        "oleh fakta f5, terbuka sampai 2026-11-20 10:31, mencakupnya."
    )


async def test_the_last_unit_and_the_free_count(told: Told) -> None:
    """PR-9: October 2026, 1 unit left: A gets 3 service messages = 1 unit, 0, 0; then B gets 3 =
    numbers 1 to 3 of the free count."""
    await told.begin("2026-10-05T09:00:00")
    for n in range(999):
        contact = str(6281120000000 + n)
        if not n % 333:
            batch: list[tuple[str, str, str, dict[str, Any]]] = []
        batch.append(("2026-10-05T09:30:00", "delivered", contact, SERVICE))
        if n % 333 == 332:
            await told.happens(*batch)
    ids = await told.happens(
        ("2026-10-05T10:00:00", "delivered", ANN, SERVICE),
        ("2026-10-05T10:01:00", "delivered", ANN, SERVICE),
        ("2026-10-05T10:02:00", "delivered", ANN, SERVICE),
        ("2026-10-05T11:00:00", "delivered", BOB, SERVICE),
        ("2026-10-05T11:01:00", "delivered", BOB, SERVICE),
        ("2026-10-05T11:02:00", "delivered", BOB, SERVICE),
    )

    reasons = [(await told.explained(fact, "why"))["why"] for fact in ids]
    assert reasons == ["CONVERSATION_OPENED", "COVERED", "COVERED"] + ["FREE_COUNT"] * 3
    assert await told.says(ids[3]) == (
        "The service message to 6281110000020 cost nothing by omnichannel-idr@2026-10-01/service: "
        "it is number 1 of the 1,000 that are free for number 628001234567 in 2026-10."
    )
    assert await told.says(ids[5], "id") == (
        "Pesan service ke 6281110000020 tidak berbiaya menurut omnichannel-idr@2026-10-01/service: "
        "nomor 3 dari 1.000 yang gratis untuk nomor pengirim 628001234567 pada 2026-10."
    )


async def test_the_thousand_and_first_message(told: Told) -> None:
    """PR-4: fact order decides which is the 1,001st; PR-9: inside a conversation that a template
    opened; what a free-entry window frees is not counted."""
    await told.begin("2026-11-18T09:00:00")
    await told.happens(
        ("2026-11-18T09:50:00", "received", AD, SERVICE | {"entry": "ad"}),
        ("2026-11-18T09:51:00", "delivered", AD, SERVICE),
        ("2026-11-18T09:52:00", "delivered", AD, SERVICE),
        ("2026-11-18T10:00:00", "delivered", ANN, template("marketing")),
    )
    many = [
        (f"2026-11-18T10:{1 + n // 60:02}:{n % 60:02}", "delivered", ANN, SERVICE)
        for n in range(1_000)
    ]
    ids = await told.happens(*many[:500]) + await told.happens(*many[500:])
    (last,) = await told.happens(("2026-11-18T11:00:00", "delivered", ANN, SERVICE))

    numbers = [
        (await told.explained(fact, "freeCount { name number count per month }"))["freeCount"]
        for fact in (ids[0], ids[499], ids[-1])
    ]
    of = {"name": "service", "count": 1000, "per": "number", "month": "2026-11"}
    assert numbers == [of | {"number": number} for number in ("1", "500", "1000")]
    assert await told.says(last) == (
        "The service message to 6281110000010 cost 1 × IDR 356.65 = IDR 356.65 by "
        "omnichannel-idr@2026-10-01/service, market ID by prefix +62, after the 1,000 that are "
        "free in 2026-11; paid from whatsapp by the overdraft, for nothing else was left."
    )


async def test_a_message_before_the_first_of_october(told: Told) -> None:
    """PR-3, WI-1: utility is charged only outside the service window, which at +24 h is closed and
    is told from the log; a service message costs nothing by its price."""
    await told.begin("2026-09-07T09:00:00")
    await told.world.top_up("acme", "whatsapp", micros("100"), key="a")
    await told.world.top_up("acme", "whatsapp", micros("1000"), key="b")
    _, moved, inside, outside, free, _ = await told.happens(
        ("2026-09-07T10:00:00", "received", ANN, SERVICE),
        ("2026-09-07T12:00:00", "received", ANN, SERVICE),
        ("2026-09-08T11:59:59", "delivered", ANN, template("utility")),
        ("2026-09-08T12:00:00", "delivered", ANN, template("utility")),
        ("2026-09-08T12:01:00", "delivered", ANN, SERVICE),
        ("2026-09-09T12:00:00", "received", ANN, SERVICE),
    )

    assert await told.says(inside) == (
        "The utility message to 6281110000010 cost nothing by omnichannel-idr@2025-07-01/utility: "
        "it is free inside the customer-service window opened 2026-09-07 10:00 by fact f1, open "
        "until 2026-09-08 12:00."
    )
    assert await told.says(outside) == (
        "The utility message to 6281110000010 cost 1 × IDR 356.65 = IDR 356.65 by "
        "omnichannel-idr@2025-07-01/utility, market ID by prefix +62, outside the customer-service "
        "window; paid from whatsapp by a top-up (IDR 100), then a top-up (IDR 256.65)."
    )
    assert await told.says(outside, "id-ID") == (
        "Pesan utility ke 6281110000010 berbiaya 1 × Rp 356,65 = Rp 356,65 menurut "
        "omnichannel-idr@2025-07-01/utility, pasar ID menurut prefiks +62, di luar jendela layanan "
        "pelanggan; dibayar dari whatsapp oleh isi ulang (Rp 100), lalu isi ulang (Rp 256,65)."
    )
    assert await told.says(free) == (
        "The service message to 6281110000010 cost nothing by omnichannel-idr@2025-07-01/service, "
        "market ID by prefix +62: its price is 0."
    )
    assert await told.says(moved) == (
        "The message from 6281110000010 was kept and costs nothing: such a fact has no charge."
    )


async def test_a_contact_from_an_ad(told: Told) -> None:
    """WI-2: the answer opens 72 h in which every category is free, whatever the service window."""
    await told.begin("2026-11-16T09:00:00")
    _, answer, last, after = await told.happens(
        ("2026-11-16T10:00:00", "received", AD, SERVICE | {"entry": "ad"}),
        ("2026-11-16T10:12:00", "delivered", AD, SERVICE),
        ("2026-11-19T10:11:59", "delivered", AD, template("marketing")),
        ("2026-11-19T10:12:00", "delivered", AD, template("marketing")),
    )

    assert await told.says(answer) == (
        "The service message to 6281110000030 cost nothing by omnichannel-idr@2026-10-01/service: "
        "everything is free inside the free-entry window opened 2026-11-16 10:12 by fact f2, open "
        "until 2026-11-19 10:12."
    )
    assert await told.says(last, "id") == (
        "Pesan marketing ke 6281110000030 tidak berbiaya menurut "
        "omnichannel-idr@2025-07-01/marketing: semuanya gratis di dalam jendela masuk gratis yang "
        "dibuka 2026-11-16 10:12 oleh fakta f2, terbuka sampai 2026-11-19 10:12."
    )
    assert (await told.explained(after, "why"))["why"] == "CHARGED"


async def test_every_category_takes_one_conversation(told: Told) -> None:
    """PR-9: `omnichannel-mcc-idr`: the conversation takes a unit, whatever opened it."""
    await told.begin("2026-11-18T09:00:00", plan="omnichannel-mcc-idr")
    opened, covered = await told.happens(
        ("2026-11-18T10:00:00", "delivered", ANN, template("marketing")),
        ("2026-11-18T10:01:00", "delivered", ANN, template("utility")),
    )

    assert await told.says(opened) == (
        "The marketing message to 6281110000010 opened a conversation, open until 2026-11-19 "
        "10:00, and cost 1 of conversations by omnichannel-idr@2026-10-01/conversation; paid by "
        "the allowance of 2026-11."
    )
    assert await told.says(covered) == (
        "The utility message to 6281110000010 cost nothing by "
        "omnichannel-idr@2026-10-01/conversation: the paid conversation opened 2026-11-18 10:00 by "
        "fact f1, open until 2026-11-19 10:00, covers it."
    )


async def test_facts_without_a_charge_say_why(told: Told) -> None:
    """EV-5, EV-7: a further status of a message, and one that no row covers."""
    await told.begin("2026-11-18T09:00:00")
    named = template("marketing") | {"message_id": "m1"}
    _, read, unrated, unknown = await told.happens(
        ("2026-11-18T10:00:00", "delivered", ANN, named),
        ("2026-11-18T10:01:00", "read", ANN, named),
        ("2026-11-18T10:02:00", "delivered", "4915112345678", template("marketing")),
        ("2026-11-18T10:03:00", "delivered", ANN, template("survey")),
    )
    fields = "status type number channel contact group category hold flags why charges { id }"

    assert await told.fact(unrated, fields) == {
        "status": "UNRATED", "type": "message.delivered", "number": NUMBER, "channel": "whatsapp",
        "contact": "4915112345678", "group": None, "category": "marketing", "hold": None,
        "flags": ["CONVERSATION_OPENED"], "why": "UNRATED", "charges": [],
    }  # fmt: skip
    assert await told.says(unrated) == (
        "The marketing message to 4915112345678 was kept, but no row of omnichannel-idr covers "
        "marketing messages in market DE; it will be rated as soon as one does."
    )
    assert await told.says(unknown, "id") == (
        "Pesan survey ke 6281110000010 disimpan, tetapi tidak ada baris omnichannel-idr yang "
        "mencakup pesan survey di pasar ID; biayanya dihitung begitu baris itu ada."
    )
    assert (await told.fact(read, "why"))["why"] == "REPEATED"
    assert await told.says(read) == (
        "The marketing message to 6281110000010 cost nothing: an earlier status of the same "
        "message was charged."
    )
    assert await told.fact("no-such-fact", "status") is None


EVERYTHING = """
why rule { name book bookVersion rate { basis price chargedOn freeIn } }
window { kind openedAt openedBy openedBySource endsAt } market prefix country
freeCount { number } tier { number } units price amount { value } arithmetic rounded
lots { place lot source amount { value } priority startsAt endsAt }
reversalOf reversedBy replacedBy late arrivedAt hold sentence
"""


async def test_the_figures_behind_the_sentence(told: Told) -> None:
    """BA-1, PR-6, IN-5: the row, the prefix, the sum and the lots in the order they paid."""
    await told.begin("2026-11-18T09:00:00")
    await told.world.top_up("acme", "whatsapp", micros("500"), key="a")
    (fact,) = await told.happens(
        ("2026-11-18T10:00:00", "delivered", ANN, template("marketing") | {"hold": "h1"})
    )

    found = await told.explained(fact, EVERYTHING)

    assert found.pop("sentence").startswith("The marketing message to 6281110000010 cost 1 × IDR")
    lots = found.pop("lots")
    assert [(lot["place"], lot["source"], lot["amount"]["value"]) for lot in lots] == [
        (1, "TOP_UP", "500"), (2, "OVERDRAFT", "86.33")
    ]  # fmt: skip
    assert lots[0]["priority"] < lots[1]["priority"]
    assert found.pop("rule") == {
        "name": "omnichannel-idr@2025-07-01/marketing", "book": "omnichannel-idr",
        "bookVersion": 1,
        "rate": {
            "basis": "PER_MESSAGE", "price": "586.33", "chargedOn": "delivered",
            "freeIn": ["free_entry"],
        },
    }  # fmt: skip
    assert found == {
        "why": "CHARGED", "window": None, "market": "ID", "prefix": "62", "country": "ID",
        "freeCount": None, "tier": None, "units": "1", "price": "586.33",
        "amount": {"value": "586.33"}, "arithmetic": "1 x 586.33 = 586.33", "rounded": False,
        "reversalOf": None, "reversedBy": None, "replacedBy": None, "late": False,
        "arrivedAt": "2026-11-18T03:00:00Z", "hold": "h1",
    }  # fmt: skip


async def test_reversals_lead_to_each_other(told: Told, owner_url: str) -> None:
    """A charge that was taken back names its reversal, its successor, and they name it."""
    await told.begin("2026-11-18T09:00:00")
    (fact,) = await told.happens(("2026-11-18T10:00:00", "delivered", ANN, template("marketing")))
    owner: Connection = await asyncpg.connect(owner_url)
    for revision, reversal in ((0, True), (1, False)):
        await owner.execute(
            "insert into charges select tenant_id, at, key, 0, $1, $2, version, arrived_at,"
            " balance_id, rule_id, units, amount, array[lot_id], array[amount], null, flags"
            " from facts",
            revision,
            reversal,
        )
    await owner.close()

    found = await told.fact(
        fact, "charges { id explanation { reversalOf reversedBy replacedBy sentence } }"
    )

    first, back, again = found["charges"]
    links = [
        (each["reversalOf"], each["reversedBy"], each["replacedBy"])
        for each in (charge["explanation"] for charge in (first, back, again))
    ]
    assert links == [
        (None, back["id"], again["id"]), (first["id"], None, again["id"]), (None, None, None)
    ]  # fmt: skip
    assert back["explanation"]["sentence"] == "Taken back: " + first["explanation"]["sentence"]


async def test_what_came_late_says_so(told: Told) -> None:
    """EV-9: explained as it was decided; what came in later commits was not known then."""
    await told.begin("2026-11-18T09:00:00")
    await told.happens(("2026-11-18T12:00:00", "delivered", ANN, SERVICE))
    (late,) = await told.happens(("2026-11-18T11:00:00", "delivered", ANN, template("marketing")))

    assert (await told.explained(late, "late"))["late"]
    assert (await told.says(late)).endswith("; it came late and may still be settled.")
    assert (await told.says(late, "id")).endswith(
        "; datang terlambat dan masih dapat diperhitungkan ulang."
    )


async def test_only_languages_there_are_and_only_with_the_grant(told: Told) -> None:
    await told.begin("2026-11-18T09:00:00")
    await told.happens(("2026-11-18T10:00:00", "delivered", ANN, template("marketing")))

    for locale, why in (("fr", "write en or id"), ("xx-nonsense", "is no locale we know")):
        asked = f'charges {{ nodes {{ explanation {{ sentence(locale: "{locale}") }} }} }}'
        assert why in (await told.ask(asked))["refused"]


#: What only one kind of statement has, of those that explain.
KINDS = {
    "facts": "unnest($1::bigint[], $2::bigint[], $3::bytea[]) asked (tenant_id, at, key),",
    "windows": "as known_at",
    "lots": "l.priority",
    "positions": "entries as materialized",
    "links": "c.part, c.revision, c.reversal from unnest",
}


async def test_fifty_charges_are_explained_by_the_statements_of_one(
    heard: list[str], told: Told
) -> None:
    """One statement a kind, however many charges and fields; nothing is written."""
    await told.begin("2026-11-18T09:00:00")
    events: list[tuple[str, str, str, dict[str, Any]]] = [
        ("2026-11-18T10:00:00", "received", AD, SERVICE | {"entry": "ad"}),
        ("2026-11-18T10:00:01", "delivered", AD, SERVICE),
        ("2026-11-18T10:00:02", "delivered", BOB, template("marketing")),
    ]
    for n in range(16):
        events.append((f"2026-11-18T10:01:{n:02}", "delivered", ANN, SERVICE))
        events.append((f"2026-11-18T10:02:{n:02}", "delivered", BOB, SERVICE))
        events.append((f"2026-11-18T10:03:{n:02}", "delivered", AD, template("utility")))
    await told.happens(*events)

    heard.clear()
    found = await told.ask(f"charges(first: 50) {{ nodes {{ explanation {{ {EVERYTHING} }} }} }}")

    nodes = found["charges"]["nodes"]
    assert len(nodes) == 50
    assert {node["explanation"]["why"] for node in nodes} == {
        "CONVERSATION_OPENED", "COVERED", "FREE_COUNT", "FREE_ENTRY", "CHARGED"
    }  # fmt: skip
    numbers = [count["number"] for node in nodes if (count := node["explanation"]["freeCount"])]
    assert numbers == [str(n) for n in range(16, 0, -1)]
    statements = [" ".join(statement.split()) for statement in heard]
    assert {
        kind: sum(mark in statement for statement in statements) for kind, mark in KINDS.items()
    } == dict.fromkeys(KINDS, 1) | {"facts": 2}  # links are asked for by the same places
    assert not any(
        word in statement.lower() for statement in statements for word in ("insert ", "update ")
    )


async def test_what_is_counted_and_what_goes_to_a_group(told: Told) -> None:
    """VO-1, PR-8: seconds by the minute's price, and a group's member by name."""
    world = told.world
    await told.begin("2026-11-18T09:00:00", plan="service-usd")
    await world.number("acme", "line", "voice", "573001234567")
    world.clock.at = instant_of("2026-11-18T12:00:00")
    call = {"channel": "voice", "number": "+573001234567", "contact": "+573011234567"}
    group = {"number": f"+{NUMBER}", "contact": "+573011234567", "group": {"id": "g1"}}
    items = [
        ("c1", "call.ended", call | {"direction": "out", "seconds": 35, "answered": True}),
        ("c2", "call.ended", call | {"direction": "out", "seconds": 0, "answered": False}),
        ("g1", "message.delivered", group | template("marketing")),
    ]
    results = await world.send([
        {"id": id, "source": "crm", "type": kind, "subject": "acme", "data": data,
         "time": "2026-11-18T10:00:00+07:00"}
        for id, kind, data in items
    ])  # fmt: skip
    assert {result["status"] for result in results} == {"accepted"}
    assert await told.says("c1") == (
        "The call with 573011234567 cost 60 seconds × $0.021 a minute = $0.021 by "
        "service-usd@2026-07-01/voice-co, market CO by prefix +57; paid from voice_outbound by the "
        "overdraft, for nothing else was left."
    )
    assert (await told.says("c1", "id")).startswith(
        "Panggilan dengan 573011234567 berbiaya 60 detik × US$0,021 per menit = US$0,021 menurut "
    )
    assert (await told.explained("c1", "arithmetic"))["arithmetic"] == "60 x 0.021 / 60 = 0.021"
    assert await told.says("c2") == (
        "The call with 573011234567 was kept and costs nothing: such a fact has no charge."
    )
    assert (await told.says("g1")).startswith(
        "The marketing message to +573011234567 in group g1 cost 1 × $0.0125 = $0.0125 by "
        "service-usd@2026-07-01/marketing-co, market CO by prefix +57; "
    )
