"""Plans: the samples, who pays for what, and what is refused."""

import copy
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from domain.book_documents import parse_book
from domain.books import Basis, Book
from domain.figures import rates
from domain.money import micros, picos
from domain.periods import date_number
from domain.plans import (
    BalancePlan,
    Carry,
    Chain,
    Plan,
    PlanError,
    RefillOffer,
    Step,
    TopUpOffer,
    parse_plan,
)

SAMPLES = Path(__file__).parents[2] / "persistence" / "samples"
GONE = object()  # in a table of refusals: the field is taken out


def sample(name: str) -> dict[str, Any]:
    return tomllib.loads((SAMPLES / f"{name}.toml").read_text(encoding="utf-8"))


def sample_book(name: str) -> Book:
    return parse_book(sample(f"book-{name}"), 1, sample("whatsapp-markets"))


BOOKS = {
    name: sample_book(name)
    for name in ("omnichannel-idr", "college-small", "contact-center-usd", "service-usd")
}


def sample_plan(name: str) -> Plan:
    document = sample(f"plan-{name}")
    return parse_plan(document, BOOKS[document["book"]])


IDR = sample_plan("omnichannel-idr")
MCC = sample_plan("omnichannel-mcc-idr")
COLLEGE = sample_plan("college-small")
CENTER = sample_plan("contact-center-usd")
SERVICE_USD = sample_plan("service-usd")

TEMPLATE = (Step(balance="whatsapp", basis=Basis.PER_MESSAGE),)
SERVICE = (
    Step(balance="conversations", basis=Basis.PER_CONVERSATION),
    Step(balance="whatsapp", basis=Basis.PER_CONVERSATION),
    Step(balance="whatsapp", basis=Basis.PER_MESSAGE),
)
ONE_CREDIT = (Step(balance="conversations", basis=Basis.PER_CONVERSATION),)
VISITORS = (Step(balance="visitors", basis=Basis.PER_VISITOR),)


def test_the_sample_balances() -> None:
    """BA-4, BA-6: allowances, carry-over and packs are the plan's data."""
    conversations = BalancePlan(
        key="conversations",
        name="Conversations",
        kind="unit",
        unit="conversation",
        currency=None,
        allowance=micros("1000"),
        carry=Carry(kind="always", periods=0),
        credit_limit=0,
        overage_price=picos("500"),
        top_up=TopUpOffer(pack=micros("1"), price=picos("500"), minimum=micros("1000000")),
    )
    assert IDR.balance("conversations") == MCC.balance("conversations") == conversations
    visitors = IDR.balance("visitors")
    assert (visitors.unit, visitors.allowance) == ("visitor", micros("1000"))
    assert visitors.carry == Carry(kind="none", periods=0)
    assert visitors.top_up is not None
    assert (visitors.top_up.pack, visitors.top_up.price) == (micros("500"), picos("300000"))
    money = IDR.balance("whatsapp")
    assert (money.kind, money.unit, money.currency) == ("money", "IDR", "IDR")
    assert (money.allowance, money.overage_price) == (0, None)
    assert money.carry == Carry(kind="always", periods=0)
    with pytest.raises(KeyError):
        IDR.balance("whatsap")


def test_the_sample_heads() -> None:
    facts = [
        (plan.key, plan.book, plan.currency, plan.timezone, plan.country, plan.locale, plan.seats)
        for plan in (IDR, MCC, COLLEGE)
    ]
    rest = ("IDR", "Asia/Jakarta", "ID", "id", 10)
    assert facts == [
        ("omnichannel-idr", "omnichannel-idr", *rest),
        ("omnichannel-mcc-idr", "omnichannel-idr", *rest),
        ("college-small", "college-small", *rest),
    ]


def test_the_college_plan_is_small() -> None:
    """BA-4: nothing is carried but money."""
    assert [
        (balance.key, balance.allowance, balance.carry.kind) for balance in COLLEGE.balances
    ] == [
        ("conversations", micros("50"), "none"),
        ("visitors", micros("20"), "none"),
        ("whatsapp", 0, "always"),
    ]
    assert COLLEGE.chains == IDR.chains


def test_the_dollar_heads() -> None:
    facts = [
        (plan.book, plan.currency, plan.timezone, plan.country, plan.locale)
        for plan in (CENTER, SERVICE_USD)
    ]
    assert facts == [
        ("contact-center-usd", "USD", "America/Los_Angeles", "US", "en-US"),
        ("service-usd", "USD", "America/Bogota", "CO", "es-CO"),
    ]


REFILLED = [
    (CENTER, "email voicemail speech_to_text ai_agent sms voice_inbound voice_outbound"),
    (SERVICE_USD, "sms email whatsapp voice_outbound video bot"),
]


@pytest.mark.parametrize(("plan", "keys"), REFILLED)
def test_the_dollar_balances_have_rates_and_refills(plan: Plan, keys: str) -> None:
    """FI-5, RF-1: money balances without an allowance, each with rates and a refill."""
    assert [balance.key for balance in plan.balances] == keys.split()
    november = date_number(date(2026, 11, 21))
    for balance in plan.balances:
        assert (balance.kind, balance.currency, balance.allowance) == ("money", "USD", 0)
        assert balance.carry == Carry(kind="always", periods=0)
        refill = balance.refill
        assert refill is not None
        assert 0 < refill.minimum < refill.amount
        rows = rates(plan, BOOKS[plan.book], balance.key, november)
        assert [row for row in rows if row.price], balance.key
    assert plan.visitors is None


CHAINS = [
    # plan, channel, category, direction, steps or None
    (IDR, "whatsapp", "marketing", "out", TEMPLATE),
    (IDR, "whatsapp", "utility", "out", TEMPLATE),
    (IDR, "whatsapp", "authentication", "out", TEMPLATE),
    (IDR, "whatsapp", "service", "out", SERVICE),
    (IDR, "whatsapp", "service", "in", None),
    (IDR, "whatsapp", "coupon", "out", None),
    (IDR, "sms", "service", "out", None),
    (IDR, "whatsapp", "visitor", "in", VISITORS),
    (IDR, "livechat", "visitor", "in", VISITORS),
    (MCC, "whatsapp", "marketing", "out", ONE_CREDIT),
    (MCC, "whatsapp", "service", "out", ONE_CREDIT),
    (MCC, "whatsapp", "service", "in", None),
    (MCC, "sms", "service", "out", None),
    (MCC, "email", "visitor", "in", VISITORS),
    (CENTER, "voice", "", "in", (Step(balance="voice_inbound", basis=Basis.PER_MINUTE),)),
    (CENTER, "voice", "", "out", (Step(balance="voice_outbound", basis=Basis.PER_MINUTE),)),
    (CENTER, "sms", "service", "out", (Step(balance="sms", basis=Basis.PER_SEGMENT),)),
    (CENTER, "whatsapp", "service", "out", None),
    (SERVICE_USD, "whatsapp", "service", "out", TEMPLATE),
    (SERVICE_USD, "bot", "", "out", (Step(balance="bot", basis=Basis.PER_UNIT),)),
    (SERVICE_USD, "voice", "", "in", None),
]


@pytest.mark.parametrize(("plan", "channel", "category", "direction", "steps"), CHAINS)
def test_who_pays(
    plan: Plan, channel: str, category: str, direction: str, steps: tuple[Step, ...] | None
) -> None:
    """PR-9: each category's chain is the plan's."""
    chain = plan.chain(channel, category, direction)
    assert (chain.steps if chain else None) == steps


def test_visitors_are_counted_where_the_plan_has_them() -> None:
    """VI-1, EV-7: the chain of visitors, or None in a plan without that balance."""
    assert IDR.visitors is not None
    assert IDR.visitors.steps == VISITORS
    document = sample("plan-omnichannel-idr")
    document["chains"].pop()
    assert parse_plan(document, BOOKS["omnichannel-idr"]).visitors is None


def test_wildcards_give_way() -> None:
    """The category's own chain before `*`, then the channel's own before `*`."""
    chains = [
        Chain(channel=channel, category=category, direction="in", steps=VISITORS)
        for channel, category in (
            ("whatsapp", "visitor"),
            ("*", "visitor"),
            ("whatsapp", "*"),
            ("*", "*"),
        )
    ]
    for gone in range(4):
        plan = Plan(
            key="k", version=1, name="n", book="b", currency="IDR", timezone="UTC", country="ID",
            locale="id", seats=0, balances=(), chains=tuple(chains[gone:]),
        )  # fmt: skip
        assert plan.chain("whatsapp", "visitor", "in") is chains[gone]
        assert plan.chain("whatsapp", "visitor", "out") is None


CARRIES = [
    ("none", Carry(kind="none", periods=0)),
    ("always", Carry(kind="always", periods=0)),
    ({"periods": 3}, Carry(kind="periods", periods=3)),
]


@pytest.mark.parametrize(("written", "carry"), CARRIES)
def test_carry(written: object, carry: Carry) -> None:
    """BA-4: none, n periods, always."""
    document = sample("plan-omnichannel-idr")
    document["balances"][0]["carry"] = written
    assert parse_plan(document, BOOKS["omnichannel-idr"]).balance("conversations").carry == carry


REFILLS = [
    # balance, written, read
    (0, {"amount": "2000", "minimum": "100"}, ("2000", "100")),
    (1, {"amount": "1500", "minimum": "0"}, ("1500", "0")),
    (2, {"amount": "0.5", "minimum": "1000.25"}, ("0.5", "1000.25")),
]


@pytest.mark.parametrize(("place", "written", "read"), REFILLS)
def test_refill(place: int, written: dict[str, str], read: tuple[str, str]) -> None:
    """RF-1: what one refill adds, and at what it is due."""
    document = sample("plan-omnichannel-idr")
    document["balances"][place]["refill"] = written
    if place == 2:
        del document["balances"][place]["top_up"]
    balance = parse_plan(document, BOOKS["omnichannel-idr"]).balances[place]
    assert balance.refill == RefillOffer(amount=micros(read[0]), minimum=micros(read[1]))


def test_a_unit_refill_has_a_price() -> None:
    """RF-1: a refill is bought, so units without a top-up have no refill."""
    document = sample("plan-omnichannel-idr")
    del document["balances"][1]["top_up"]
    document["balances"][1]["refill"] = {"amount": "500", "minimum": "0"}
    with pytest.raises(PlanError) as refused:
        parse_plan(document, BOOKS["omnichannel-idr"])
    (fault,) = refused.value.problems
    assert (fault.path, fault.wrong) == ("balances[1].refill", "has no price")


@pytest.mark.parametrize("days", [None, 31, 92, 366])
def test_how_long_a_charts_range_is_at_most_is_a_plans_to_say(days: int | None) -> None:
    """TZ-6: 92 local days where a plan says nothing else."""
    document = sample("plan-omnichannel-idr")
    if days is not None:
        document["chart_days"] = days
    assert parse_plan(document, BOOKS["omnichannel-idr"]).chart_days == (days or 92)


BALANCE, VISITS, MONEY = ("balances", 0), ("balances", 1), ("balances", 2)
STEP = ("chains", 1, "steps", 0)
REFUSALS = [
    (("plan",), "", "plan", "name the plan"),
    (("name",), "Omni\0channel", "name", "does not fit"),
    (("nam",), "x", "nam", "did you mean 'name'?"),
    (("currency",), "USD", "currency", "USD is not the book's currency; write IDR"),
    (("currency",), "USD", "balances[2].currency", "IDR is not the plan's currency; write USD"),
    (("currency",), "Rp", "currency", "'Rp' is not known"),
    (("timezone",), "Asia/Jakata", "timezone", "Asia/Jakarta"),
    (("timezone",), 7, "timezone", "IANA"),
    (("country",), "id", "country", "two capital letters"),
    (("locale",), "indonesian", "locale", "language tag"),
    (("seats",), -1, "seats", "from 0 to"),
    (("seats",), "10", "seats", "without quotes"),
    (("chart_days",), 30, "chart_days", "from 31 to 366"),
    (("chart_days",), 367, "chart_days", "from 31 to 366"),
    (("ranges",), {"usage": "last_8_days"}, "ranges.usage", "last_7_days"),
    (("book",), "omnichannel-usd", "book", "the book given is 'omnichannel-idr'"),
    (("balances",), GONE, "balances", "is missing"),
    ((*BALANCE, "kind"), "units", "balances[0].kind", "did you mean 'unit'?"),
    ((*BALANCE, "unit"), GONE, "balances[0].unit", "is missing"),
    ((*BALANCE, "currency"), "IDR", "balances[0].currency", "not a known field"),
    ((*BALANCE, "allowance"), "-5", "balances[0].allowance", "has a sign"),
    ((*BALANCE, "allowance"), 1000, "balances[0].allowance", "no decimal in quotes"),
    ((*BALANCE, "allowance"), "0.0000001", "balances[0].allowance", "too fine"),
    ((*BALANCE, "allowance"), GONE, "balances[0].allowance", "is missing"),
    ((*BALANCE, "credit_limit"), "1e3", "balances[0].credit_limit", "is not a number"),
    ((*BALANCE, "overage_price"), "-1", "balances[0].overage_price", "has a sign"),
    ((*BALANCE, "carry"), "forever", "balances[0].carry", '"none", "always" or'),
    ((*BALANCE, "carry"), {"periods": 0}, "balances[0].carry.periods", "from 1 to 120"),
    ((*BALANCE, "carry"), {"months": 3}, "balances[0].carry.months", "known are periods"),
    ((*BALANCE, "carry"), GONE, "balances[0].carry", "is missing"),
    ((*BALANCE, "top_up", "pack"), "0", "balances[0].top_up.pack", "is 0"),
    ((*BALANCE, "top_up", "price"), "n/a", "balances[0].top_up.price", "is no rate"),
    ((*BALANCE, "top_up", "packs"), "2", "balances[0].top_up.packs", "did you mean 'pack'?"),
    ((*BALANCE, "top_up"), "500", "balances[0].top_up", "not a table"),
    ((*BALANCE, "refill"), "2000", "balances[0].refill", "not a table"),
    ((*BALANCE, "refill"), {"amount": "2000"}, "balances[0].refill.minimum", "is missing"),
    ((*BALANCE, "refill"), {"minimum": "5"}, "balances[0].refill.amount", "is missing"),
    ((*BALANCE, "refill"), {"amount": "0", "minimum": "5"}, "balances[0].refill.amount", "is 0"),
    ((*BALANCE, "refill"), {"amount": "2000", "minimum": "-5"}, "balances[0].refill.minimum",
     "has a sign"),
    ((*BALANCE, "refill"), {"amount": "2000", "minimum": "5", "at": "1"}, "balances[0].refill.at",
     "not a known field"),
    ((*BALANCE, "refill"), {"amount": "1999", "minimum": "5"}, "balances[0].refill.amount",
     "1999 costs 999500, a top-up at least 1000000"),
    ((*VISITS, "refill"), {"amount": "750", "minimum": "5"}, "balances[1].refill.amount",
     "750 is no whole number of packs of 500; write 1000"),
    ((*VISITS, "balance"), "conversations", "balances[1].balance", "is there before"),
    ((*MONEY, "overage_price"), "1", "balances[2].overage_price", "for unit balances"),
    ((*MONEY, "unit"), "rupiah", "balances[2].unit", "not a known field"),
    (("chains",), [], "chains", "at least one [[chains]]"),
    (("chains", 1, "steps"), [], "chains[1].steps", "not a list of tables"),
    (("chains", 1, "steps"), GONE, "chains[1].steps", "is missing"),
    ((*STEP, "balance"), "conversation", "chains[1].steps[0].balance",
     "did you mean 'conversations'?"),
    ((*STEP, "basis"), "per_talk", "chains[1].steps[0].basis", "'per_talk' is not known"),
    ((*STEP, "basis"), "per_message", "chains[1].steps[0].basis",
     "conversations counts conversations"),
    ((*STEP, "bases"), "per_message", "chains[1].steps[0].bases", "did you mean 'basis'?"),
    (("chains", 1, "steps", 2, "basis"), "per_conversation", "chains[1].steps[2]",
     "is there before in this chain"),
    (("chains", 0, "channel"), "whatsap", "chains[0].steps[0].basis",
     "no row per_message for whatsap marketing out"),
    (("chains", 1, "steps", 1, "basis"), "per_segment", "chains[1].steps[1].basis", "no row"),
    (("chains", 0, "categories"), ["Marketing"], "chains[0].categories[0]", "is no category"),
    (("chains", 0, "categories"), [], "chains[0].categories", "not a list with members"),
    (("chains", 1, "categories"), ["utility"], "chains[1].categories[0]", "has a chain before"),
    (("chains", 0, "direction"), "both", "chains[0].direction", "known are in, out"),
]  # fmt: skip


def put(document: dict[str, Any], path: tuple[str | int, ...], value: object) -> None:
    """Put a value somewhere deep in a document, or take a field out."""
    inside: Any = document
    for step in path[:-1]:
        inside = inside[step]
    if value is GONE:
        del inside[path[-1]]
    else:
        inside[path[-1]] = value


@pytest.mark.parametrize(("path", "value", "where", "says"), REFUSALS)
def test_refusals(path: tuple[str | int, ...], value: object, where: str, says: str) -> None:
    """A fault is refused by its path, with what is wrong and what would be right."""
    document = sample("plan-omnichannel-idr")
    put(document, path, value)
    before = copy.deepcopy(document)
    with pytest.raises(PlanError) as refused:
        parse_plan(document, BOOKS["omnichannel-idr"])
    faults = {fault.path: f"{fault.wrong}; {fault.right}" for fault in refused.value.problems}
    assert says in faults.get(where, ""), str(refused.value)
    assert all(fault.wrong and fault.right for fault in refused.value.problems)
    assert document == before


def test_all_problems_at_once() -> None:
    document = sample("plan-omnichannel-idr")
    put(document, ("seats",), None)
    put(document, (*BALANCE, "allowance"), "much")
    put(document, (*STEP, "balance"), "talks")
    put(document, ("surprise",), 1)
    with pytest.raises(PlanError) as refused:
        parse_plan(document, BOOKS["omnichannel-idr"])
    assert [fault.path for fault in refused.value.problems] == [
        "seats",
        "balances[0].allowance",
        "chains[1].steps[0].balance",
        "surprise",
    ]
    assert str(refused.value).startswith("plan omnichannel-idr: 4 problems\n  seats: ")


def test_a_document_of_junk_is_one_error() -> None:
    documents: list[dict[str, Any]] = [
        {},
        {"plan": [], "balances": None},
        {"balances": [1], "chains": [{"steps": [{}]}]},
    ]
    for junk in documents:
        with pytest.raises(PlanError) as refused:
            parse_plan(junk, BOOKS["omnichannel-idr"])
        assert len(refused.value.problems) >= 8
