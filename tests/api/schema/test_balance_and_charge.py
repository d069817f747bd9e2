"""Balances and charges of a tenant through the schema, from rows written by hand."""

from __future__ import annotations

from api.rights import ALL_SCOPES
from domain.facts import Flag
from domain.lots import LotSource
from domain.periods import DAY, iso
from tests.api.schema.conftest import END, NOON, NOVEMBER, START, Ask
from tests.persistence.rows import WHATSAPP, Rows


async def test_a_balance_shows_its_period(rows: Rows, ask: Ask) -> None:
    """FI-5, BA-9: both sides, the lots that pay, and what stands beside them."""
    await rows.lot(
        1, LotSource.ALLOWANCE, 1000, starts_at=START, ends_at=END, month=NOVEMBER, used=900
    )
    await rows.lot(2, LotSource.TOP_UP, 500, starts_at=START - DAY)
    await rows.lot_day(1, START, 900)

    found = await ask(
        'balance(key: "conversations") { key unit name kind version asOf estimate percentUsed '
        "opening { value } granted { value } toppedUp { value } used { value currency } "
        "lapsed { value } adjusted { value } held { value } available { value } "
        'remaining { value formatted english: formatted(locale: "en") } '
        "initial { granted { value } used { value } remaining { value } lapsed { value } } "
        "topUp { opening { value } granted { value } remaining { value } } refillPolicy "
        "{ minimum { value } } lots { id source remaining { value } startsAt endsAt } }"
    )

    assert found["balance"] == {
        "key": "conversations", "unit": "conversation", "name": found["balance"]["name"],
        "kind": "UNIT", "version": "12", "asOf": iso(NOON), "estimate": True, "percentUsed": "60",
        "opening": {"value": "500"}, "granted": {"value": "1000"}, "toppedUp": {"value": "0"},
        "used": {"value": "900", "currency": None}, "lapsed": {"value": "0"},
        "adjusted": {"value": "0"}, "held": {"value": "0"}, "available": {"value": "600"},
        "remaining": {"value": "600", "formatted": "600", "english": "600"},
        "initial": {
            "granted": {"value": "1000"}, "used": {"value": "900"}, "remaining": {"value": "100"},
            "lapsed": {"value": "0"},
        },
        "topUp": {
            "opening": {"value": "500"}, "granted": {"value": "0"}, "remaining": {"value": "500"}
        },
        "refillPolicy": None,
        "lots": [
            {"id": "lot_conversations_2026-11", "source": "ALLOWANCE",
             "remaining": {"value": "100"}, "startsAt": iso(START), "endsAt": iso(END)},
            {"id": "lot_2", "source": "TOP_UP", "remaining": {"value": "500"},
             "startsAt": iso(START - DAY), "endsAt": None},
        ],
    }  # fmt: skip


async def test_balances_of_any_period(rows: Rows, ask: Ask) -> None:
    """TZ-4, TZ-7: a period nothing was recorded in has its whole allowance; no balance, null."""
    await rows.lot(3, LotSource.TOP_UP, 600, starts_at=NOON, balance_id=WHATSAPP)

    found = await ask(
        f'past: balances(at: "{iso(START - 400 * DAY)}") {{ key remaining {{ value currency }} }} '
        f'before: balance(key: "whatsapp", at: "{iso(NOON - 1)}") {{ remaining {{ value }} }} '
        f'after: balance(key: "whatsapp", at: "{iso(NOON)}") '
        "{ remaining { value formatted } } "
        'none: balance(key: "no-such-balance") { key }'
    )

    assert [each["remaining"]["value"] for each in found["past"]][:2] == ["1000", "1000"]
    assert {each["key"] for each in found["past"]} >= {"conversations", "visitors", "whatsapp"}
    assert found["before"] == {"remaining": {"value": "0"}}
    assert found["after"] == {"remaining": {"value": "600", "formatted": "Rp\u00a0600"}}
    assert found["none"] is None


async def test_rates_of_a_balance(ask: Ask) -> None:
    """FI-5, PR-2: the book's rows in force, as far as the balance pays by them."""
    found = await ask(
        'whatsapp: balance(key: "whatsapp") { rates(market: "ID", category: "marketing") '
        "{ rule basis price currency market category channel direction validFrom freeIn "
        "freeCount { name count per } } } "
        'visitors: balance(key: "visitors") { rates { basis } }'
    )

    (rate,) = found["whatsapp"]["rates"]
    assert (rate["basis"], rate["currency"], rate["market"]) == ("PER_MESSAGE", "IDR", "ID")
    assert {each["basis"] for each in found["visitors"]["rates"]} == {"PER_VISITOR"}


async def test_charges_page_by_page(rows: Rows, ask: Ask) -> None:
    """A cursor goes on behind the charge it was given with."""
    await rows.lot(1, LotSource.ALLOWANCE, 9, starts_at=START, ends_at=END, month=NOVEMBER)
    await rows.lot(2, LotSource.TOP_UP, 9, starts_at=START)
    for n in range(5):
        await rows.fact(bytes([n]), START + n, lot_id=1, amount=1, flags=Flag.CONVERSATION_OPENED)
    await rows.fact(b"z", START + 5, flags=Flag.FURTHER)
    await rows.charge(b"z", START + 5, 0, {1: 1, 2: 2})

    pages: list[list[str]] = []
    after = "null"
    while True:
        connection = (
            await ask(
                f"charges(first: 4, after: {after}) "
                "{ nodes { factId } pageInfo { hasNextPage endCursor } }"
            )
        )["charges"]
        pages.append([node["factId"] for node in connection["nodes"]])
        if not connection["pageInfo"]["hasNextPage"]:
            break
        after = f'"{connection["pageInfo"]["endCursor"]}"'
    one = await ask(
        f'charges(first: 1, range: {{instants: {{start: "{iso(START)}", end: "{iso(END)}"}}}}) '
        "{ edges { node { id at bookedAt factId source type number channel contact group category "
        "market balance units amount { value } rule lots { lot amount { value } } reversal "
        "revision flags status } } }"
    )

    assert pages == [["fact-7a", "fact-04", "fact-03", "fact-02"], ["fact-01", "fact-00"]]
    (edge,) = one["charges"]["edges"]
    node = edge["node"]
    assert node.pop("id").startswith("chg_")
    assert node == {
        "at": iso(START + 5), "bookedAt": iso(START + 14), "factId": "fact-7a", "source": "test",
        "type": "message.delivered", "number": "628110001", "channel": "whatsapp",
        "contact": "6281100010", "group": None, "category": "marketing", "market": "ID",
        "balance": "conversations", "units": "1", "amount": {"value": "3"}, "rule": None,
        "lots": [
            {"lot": "lot_conversations_2026-11", "amount": {"value": "1"}},
            {"lot": "lot_2", "amount": {"value": "2"}},
        ],
        "reversal": False, "revision": 0, "flags": [], "status": "ACCEPTED",
    }  # fmt: skip


REFUSALS = [
    ("charges(first: 101) { nodes { id } }", "write 1 to 100"),
    ("charges(first: 0) { nodes { id } }", "write 1 to 100"),
    ('charges(after: "nonsense") { nodes { id } }', "is not a cursor"),
    ('charges(after: "WzEsInp6IiwwLDAsZmFsc2Vd") { nodes { id } }', "is not a cursor"),
    ('balances(at: "1969-12-31T23:59:59Z") { key }', "from 1970 to 9998"),
    ('balances(at: "9999-12-31T23:59:59Z") { key }', "from 1970 to 9998"),
    ("usageSeries(metrics: [], range: {preset: TODAY}) { metric }", "`metrics` is empty"),
    (
        "usageSeries(metrics: [COST], range: {preset: TODAY}, "
        "groupBy: [USER, CATEGORY, NUMBER]) { metric }",
        "one or two",
    ),
    (
        'usageSeries(metrics: [COST], range: {dates: {from: "2026-01-01", '
        'until: "2026-04-03"}}) { metric }',
        "93 local days",
    ),
    (
        'usageSeries(metrics: [COST], range: {dates: {from: "2026-01-02", '
        'until: "2026-01-01"}}) { metric }',
        "`until` is before `from`",
    ),
    (
        'usageSeries(metrics: [COST], range: {instants: {start: "2026-11-01T00:30:00+07:00", '
        'end: "2026-11-02T10:00:00.000001+07:00"}}) { metric }',
        "write 2026-10-31T17:00:00Z to 2026-11-02T04:00:00Z",
    ),
    (
        "usageSeries(metrics: [COST], range: {preset: TODAY}, "
        'filter: {channels: ["pigeon"]}) { metric }',
        "write one of whatsapp",
    ),
    (
        "usageSeries(metrics: [COST], range: {preset: TODAY}, "
        'filter: {directions: ["sideways"]}) { metric }',
        "write one of in, out",
    ),
    (
        "usageSeries(metrics: [COST], range: {preset: TODAY}, "
        'filter: {users: ["\\u0000"]}) { metric }',
        "no text has",
    ),
    (
        'usageSeries(metrics: [COST], range: {preset: TODAY, dates: {from: "2026-01-02", '
        'until: "2026-01-03"}}) { metric }',
        "exactly one",
    ),
]


async def test_what_is_refused_says_what_would_be_right(ask: Ask) -> None:
    """TZ-6: a chart's range is at most 92 local days, and the rest of what may be wrong."""
    for fields, why in REFUSALS:
        refusal = (await ask(fields)).get("refused", "nothing")
        assert why.lower() in refusal.lower(), fields


SCOPES = [
    ("balances { key }", "billing:read"),
    ('balance(key: "visitors") { key }', "billing:read"),
    ("charges { nodes { id } }", "billing:read"),
    ("usageSeries(metrics: [UNITS], range: {preset: TODAY}) { metric }", "usage:read"),
]


async def test_each_field_needs_its_scope(ask: Ask) -> None:
    """PE-1: without the grant there is no answer, never an empty one."""
    for fields, scope in SCOPES:
        assert scope in (await ask(fields, scopes=ALL_SCOPES - {scope}))["refused"]
        assert "refused" not in await ask(fields, scopes=frozenset({scope}))
