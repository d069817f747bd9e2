"""BA-12 and BA-5 where terms change: plans, own allowances, and what an allowance pays off."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.changing import book, change_plan, set_allowance
from domain.figures import Figures, LotUse, figures
from domain.ledger import ADJUST, PAY_OFF, Ledger
from domain.lots import Lot, LotSource
from domain.money import micros
from domain.periods import DAY, HOUR, Period, month_label, period
from domain.plans import PlanError, parse_plan
from domain.standing import BEGINNING, Holding, Own
from domain.state import Changes
from domain.terms import Terms
from domain.top_ups import top_up
from tests.domain.spine import BOOKS, UNIT, Tenant, at, fact, received, sample, terms_of

NAME = "omnichannel-idr"
OCTOBER, NOVEMBER = month_label(2026, 10), month_label(2026, 11)
TEN = at("2026-10-05 10:00")
MONTH_END, NEXT_END = at("2026-11-01 00:00"), at("2026-12-01 00:00")
SINCE = at("2026-11-16 09:00")


def document(**allowances: str) -> dict[str, Any]:
    """The sample plan with other allowances."""
    found = sample(f"plan-{NAME}")
    balances = [
        each | ({"allowance": allowances[each["balance"]]} if each["balance"] in allowances else {})
        for each in found["balances"]
    ]
    return found | {"balances": balances}


def plan(**allowances: str) -> Any:
    return parse_plan(document(**allowances), BOOKS[NAME])


def tenant_on(since: int | None = None, first_period: str = "full", **allowances: str) -> Tenant:
    terms = terms_of(
        NAME, since=since, first_period=first_period, balances=document(**allowances)["balances"]
    )
    return Tenant(dated(terms))


def dated(terms: Terms, standing: Any = None) -> Terms:
    return terms.dated(standing or terms.standing, {NAME: terms.book})


def change(tenant: Tenant, to: Any, now: int) -> int:
    """Put a tenant on another plan as the operation does; gives from when on it holds."""
    decided = change_plan(tenant.terms.standing, to, now)
    after = dated(tenant.terms, decided.standing)
    tenant.commits.append(book(tenant.terms, after, tenant.state, decided.targets, now))
    tenant.terms = after
    return decided.since


def allow(tenant: Tenant, key: str, amount: str | None, since: int, now: int) -> int:
    value = None if amount is None else micros(amount)
    decided = set_allowance(tenant.terms.standing, key, value, since, now)
    after = dated(tenant.terms, decided.standing)
    tenant.commits.append(book(tenant.terms, after, tenant.state, decided.targets, now))
    tenant.terms = after
    return decided.since


def shown(tenant: Tenant, key: str, now: int) -> Figures:
    """A balance at an instant that the job has come to, with everything recorded."""
    tenant.advance(now)
    return told(tenant, key, now)


def told(tenant: Tenant, key: str, now: int) -> Figures:
    """A balance as it is shown at an instant, whatever the job has done."""
    span = period(tenant.terms.zone, now)
    (balance,) = (b for b in tenant.terms.standing.balances(span, now) if b.key == key)
    lots = [
        use(tenant, lot, span)
        for lot in tenant.lots(key)
        if lot.starts_at < span.end and (lot.ends_at is None or lot.ends_at > span.start)
    ]
    return figures(
        balance, span, now, lots, since=tenant.terms.since, next_due=tenant.state.next_due
    )


def use(tenant: Tenant, lot: Lot, span: Period) -> LotUse:
    """A lot with its sums by days, as they are stored."""
    before, within = [0, 0], [0, 0]
    for changes in tenant.commits:
        for (lot_id, day), (used, moved) in changes.lot_days.items():
            if lot_id == lot.lot_id:
                side = before if day < span.start else within
                side[0] += used
                side[1] += moved
    return LotUse(
        lot_id=lot.lot_id, source=lot.source, priority=lot.priority, month=lot.month,
        amount=lot.amount, starts_at=lot.starts_at, ends_at=lot.ends_at,
        created_at=lot.created_at, used_before=before[0], used=within[0],
        moved_before=before[1], moved=within[1],
    )  # fmt: skip


# --- BA-5: an allowance pays off what money owes -----------------------------------------------


def owing(allowance: str, amount: str = "500000") -> Tenant:
    """A tenant that owes an amount of money at the end of October."""
    tenant = tenant_on(whatsapp="0")
    tenant.send(received(TEN))
    overdraft(tenant, amount)
    first = tenant.terms.standing.holdings[0]
    later = Holding(MONTH_END, plan(whatsapp=allowance))
    tenant.terms = dated(tenant.terms, replace(tenant.terms.standing, holdings=(first, later)))
    return tenant


def overdraft(tenant: Tenant, amount: str) -> None:
    """Charge what no lot holds, all at once."""
    changes = Changes(tenant.terms, tenant.state, 1)
    ledger = Ledger(tenant.terms, tenant.state, changes, TEN + HOUR)
    lot = ledger.overdraft(3, TEN + HOUR)
    ledger.shift(3, lot, "adjustment", micros(amount), ADJUST)
    ledger.close()
    tenant.commits.append(changes)


PAID_OFF = [("350000", -150_000, 0), ("500000", 0, 0), ("600000", 0, 100_000)]


@pytest.mark.parametrize("late", [0, 3 * HOUR])
@pytest.mark.parametrize(("allowance", "owed", "left"), PAID_OFF)
def test_an_allowance_pays_off_money(allowance: str, owed: int, left: int, late: int) -> None:
    """BA-5: at the period's first instant, before any fact; it is no usage."""
    tenant = owing(allowance)

    found = shown(tenant, "whatsapp", MONTH_END + late)

    assert (found.top_up.remaining, found.initial.remaining) == (owed * UNIT, left * UNIT)
    assert (found.total.used, found.total.adjusted) == (0, 0)
    (paid,) = [t for c in tenant.commits for t in c.transfers if t.cause == PAY_OFF]
    assert (paid.at, paid.amount) == (MONTH_END, min(micros(allowance), 500_000 * UNIT))


def test_a_pay_off_that_is_not_booked_yet_is_shown() -> None:
    """BA-5, TZ-4: a job that is late changes no figure."""
    tenant = owing("350000")

    early = told(tenant, "whatsapp", MONTH_END)

    booked = shown(tenant, "whatsapp", MONTH_END)
    assert early.top_up.remaining == -150_000 * UNIT
    assert (early.initial, early.top_up) == (booked.initial, booked.top_up)


@pytest.mark.parametrize("looks", [[], [1], [1, 2], [2, 3]])
def test_periods_nobody_looked_at_pay_off_one_by_one(looks: list[int]) -> None:
    """BA-5: each month's allowance fills what is owed; no other allowance is stored for it."""
    tenant = owing("100000", "350000")
    starts = [MONTH_END, NEXT_END, at("2027-01-01 00:00"), at("2027-02-01 00:00")]
    for look in looks:
        tenant.advance(starts[look])

    found = shown(tenant, "whatsapp", starts[3] + DAY)

    assert (found.top_up.remaining, found.initial.remaining) == (0, 50_000 * UNIT)
    paid = [(t.at, t.amount) for c in tenant.commits for t in c.transfers if t.cause == PAY_OFF]
    assert paid == [(start, each * UNIT) for start, each in zip(
        starts, (100_000, 100_000, 100_000, 50_000), strict=True)]  # fmt: skip
    if not looks:
        granted = [lot.month for lot in tenant.lots("visitors", LotSource.ALLOWANCE)]
        assert granted == [OCTOBER, month_label(2027, 2)]


@pytest.mark.parametrize(("pays_off", "owed"), [(False, -100), (True, 0)])
def test_promotions_pay_off_where_the_plan_says_so(pays_off: bool, owed: int) -> None:
    """BA-5: promotions not, *setting*."""
    balances = [
        each | ({"promotion_pays_off": pays_off} if each["balance"] == "whatsapp" else {})
        for each in document(whatsapp="0")["balances"]
    ]
    tenant = Tenant(dated(terms_of(NAME, balances=balances)))
    tenant.send(received(TEN))
    overdraft(tenant, "100")
    now = TEN + DAY

    _, changes = top_up(
        tenant.terms, tenant.state, 3, 300 * UNIT, LotSource.PROMOTION, now, None, now
    )
    tenant.commits.append(changes)

    (lot,) = tenant.lots("whatsapp", LotSource.OVERDRAFT)
    assert lot.remaining == owed * UNIT
    assert tenant.remaining("whatsapp") == 200 * UNIT


# BA-2: of 100 with a limit of 50: what is held, and what is available then.
AVAILABLE = [("0", "150"), ("100", "50"), ("149.999999", "0.000001"), ("150", "0"), ("151", "-1")]


@pytest.mark.parametrize(("held", "available"), AVAILABLE)
def test_available(held: str, available: str) -> None:
    """BA-2: active lots + credit limit - open holds, to the limit and beyond it."""
    terms = tenant_on(whatsapp="100").terms
    span = period(terms.zone, TEN)
    (balance,) = (b for b in terms.standing.balances(span, TEN) if b.key == "whatsapp")

    found = figures(replace(balance, credit_limit=50 * UNIT), span, TEN, [], held=micros(held))

    assert found.available == micros(available, signed=True)


def test_settings_of_a_plan_are_strict() -> None:
    """BA-12, BA-5: a word or a value that is not known is refused by its path."""
    wrong = document() | {"first_period": "half"}
    wrong["balances"] = [each | {"promotion_pays_off": "yes"} for each in wrong["balances"][:1]]

    with pytest.raises(PlanError) as refused:
        parse_plan(wrong, BOOKS[NAME])

    assert {"first_period", "balances[0].promotion_pays_off"} <= {
        fault.path for fault in refused.value.problems
    }


# --- BA-12: own allowances and plans -------------------------------------------------------------

FIRST = [
    (None, "by_days", 1000),
    (MONTH_END, "by_days", 1000),  # the whole month is left
    (MONTH_END + 23 * HOUR, "by_days", 1000),  # that day included
    (MONTH_END + DAY, "by_days", 967),  # 29 of 30 days of 1000, rounded up
    (SINCE, "full", 1000),
    (SINCE, "by_days", 500),
    (NEXT_END - 1, "by_days", 34),
    (NEXT_END, "by_days", 0),
]


@pytest.mark.parametrize(("since", "how", "amount"), FIRST)
def test_the_first_period(since: int | None, how: str, amount: int) -> None:
    """BA-12: full, or by days, rounded up to whole units; the next one is full."""
    terms = tenant_on(since, how).terms
    november, december = (period(terms.zone, each) for each in (MONTH_END, NEXT_END))

    assert terms.allowance(1, november) == amount * UNIT
    assert terms.standing.allowance("conversations", december) == 1000 * UNIT


def test_the_first_period_is_granted_by_days() -> None:
    """BA-12: what is stored is what is shown before it is."""
    tenant = tenant_on(SINCE, "by_days")
    before = shown(tenant, "visitors", SINCE)
    tenant.send(received(SINCE))
    after = shown(tenant, "visitors", SINCE)

    assert (before.initial.granted, after.initial.granted) == (500 * UNIT, 500 * UNIT)
    assert after.total.remaining == 499 * UNIT


CHANGES = [  # (conversations, visitors) of the new plan, whether it holds at once, what is added
    ("1500", "1000", True, (500, 0)),
    ("1500", "1001", True, (500, 1)),
    ("1000", "1000", False, (0, 0)),
    ("1500", "999", False, (0, 0)),
    ("999", "1000", False, (0, 0)),
]


@pytest.mark.parametrize(("conversations", "visitors", "at_once", "added"), CHANGES)
def test_a_change_of_plan(
    conversations: str, visitors: str, at_once: bool, added: tuple[int, int]
) -> None:
    """BA-12: an upgrade adds the difference as a lot; anything else acts at the next period."""
    tenant = tenant_on()
    tenant.send(fact(TEN))
    to, now = plan(conversations=conversations, visitors=visitors), TEN + DAY

    since = change(tenant, to, now)

    assert since == (now if at_once else MONTH_END)
    for key, more in zip(("conversations", "visitors"), added, strict=True):
        extra = [lot for lot in tenant.lots(key) if lot.month is None]
        assert [(lot.amount, lot.starts_at, lot.ends_at) for lot in extra] == (
            [(more * UNIT, now, MONTH_END)] if more else []
        )
        assert shown(tenant, key, now).initial.granted == (1000 + more) * UNIT
    assert shown(tenant, "visitors", MONTH_END).initial.granted == micros(visitors)
    check_sums(tenant)


def test_back_and_forth_adds_once() -> None:
    """BA-12: nothing is taken back, and nothing is granted twice for one period."""
    tenant = tenant_on()
    more, less = plan(visitors="1500"), plan()
    now = TEN
    for to in (more, less, more, None, more):
        now += DAY
        change(tenant, to, now)

    assert shown(tenant, "visitors", now).initial.granted == 1500 * UNIT
    assert shown(tenant, "visitors", MONTH_END).initial.granted == 1500 * UNIT
    check_sums(tenant)


def test_an_end_and_a_new_beginning() -> None:
    """BA-12: nothing is granted any more, usage goes on, top-ups stay; then all of it again."""
    tenant = tenant_on()
    tenant.send(received(TEN))
    tenant.top_up("conversations", "5", starts_at=TEN)

    since = change(tenant, None, TEN + DAY)

    assert since == MONTH_END
    assert shown(tenant, "visitors", MONTH_END - 1).total.remaining == 999 * UNIT
    assert shown(tenant, "visitors", MONTH_END).total.remaining == 0
    tenant.send(received(MONTH_END + HOUR))
    assert shown(tenant, "visitors", MONTH_END + HOUR).total.remaining == -UNIT
    assert shown(tenant, "conversations", MONTH_END + HOUR).total.remaining == 5 * UNIT
    assert change(tenant, plan(), MONTH_END + DAY) == MONTH_END + DAY
    assert shown(tenant, "visitors", MONTH_END + DAY).total.remaining == 999 * UNIT
    check_sums(tenant)


OWN = [  # (since, from when on, granted in October after it, and in November)
    ("1500", at("2026-10-10 00:00"), MONTH_END, 1500, 1500),
    ("1500", at("2026-10-11 00:00"), MONTH_END, 1000, 1500),  # a day that has not come
    ("1500", MONTH_END, MONTH_END, 1000, 1500),
    ("1500", MONTH_END + DAY, NEXT_END, 1000, 1000),
    ("1500", at("2026-09-01 00:00"), MONTH_END, 1500, 1500),
    ("999", at("2026-10-01 00:00"), MONTH_END, 1000, 999),
    ("0", at("2026-10-01 00:00"), MONTH_END, 1000, 0),
]


@pytest.mark.parametrize(("amount", "since", "starts", "october", "november"), OWN)
def test_an_allowance_of_its_own(
    amount: str, since: int, starts: int, october: int, november: int
) -> None:
    """BA-12: dated; at once for the present period where it is more, and its day has come."""
    tenant = tenant_on()
    tenant.send(received(TEN))
    now = at("2026-10-10 12:00")

    assert allow(tenant, "visitors", amount, since, now) == starts

    assert shown(tenant, "visitors", now).initial.granted == october * UNIT
    assert shown(tenant, "visitors", MONTH_END).initial.granted == november * UNIT
    allow(tenant, "visitors", None, NEXT_END, MONTH_END)
    assert shown(tenant, "visitors", NEXT_END).initial.granted == 1000 * UNIT
    check_sums(tenant)


def test_the_plan_of_a_facts_time_rates_it() -> None:
    """BA-12, EV-4: a late fact from before the change is charged by the plan it happened under."""
    tenant = tenant_on()
    tenant.send(received(TEN))
    other = parse_plan(document(conversations="2000") | {"chains": [
        each for each in document()["chains"] if "visitor" not in each["categories"]
    ]}, BOOKS[NAME])  # fmt: skip
    change(tenant, other, TEN + DAY)

    before = tenant.send(received(TEN + HOUR, "6281100000077"), now=TEN + 2 * DAY)
    after = tenant.send(received(TEN + DAY, "6281100000078"), now=TEN + 2 * DAY)

    assert (tenant.said(before), tenant.said(after)) == ([("visitors", UNIT)], [])


# --- Whenever the job runs -----------------------------------------------------------------------

WHAT = st.tuples(
    st.sampled_from(["fact", "visit", "top", "plan", "less", "end", "own"]), st.integers(1, 20 * 24)
)


@settings(deadline=None, max_examples=30)
@given(st.lists(WHAT, max_size=14), st.lists(st.integers(0, 5000), max_size=6))
def test_figures_do_not_depend_on_the_job(steps: list[tuple[str, int]], looks: list[int]) -> None:
    """TZ-4, BA-9, BA-10: random changes and facts; prompt, at some times or never but at last."""
    tenants = [run(steps, None), run(steps, looks), run(steps, [])]
    end = TEN + sum(hours for _, hours in steps) * HOUR + 70 * DAY
    for key in ("conversations", "visitors", "whatsapp"):
        found = [shown(tenant, key, end) for tenant in tenants]
        assert len({(each.initial, each.top_up) for each in found}) == 1
        total = found[0].total
        assert total.remaining == (
            total.opening + total.granted + total.adjusted - total.used - total.lapsed
        )
    for tenant in tenants:
        check_sums(tenant)


def run(steps: list[tuple[str, int]], looks: list[int] | None) -> Tenant:
    """Do the steps, the job looking at some hours; None: at whatever is due."""
    tenant, now = tenant_on(whatsapp="300", visitors="2"), TEN
    plans = {"plan": plan(whatsapp="900", visitors="3"), "less": plan(whatsapp="1"), "end": None}
    for place, (what, hours) in enumerate(steps):
        now += hours * HOUR
        due = tenant.state.next_due
        while looks is None and due is not None and due <= now:
            tenant.advance(due)
            due = tenant.state.next_due
        for look in sorted(looks or ()):
            if now - hours * HOUR < TEN + look * HOUR <= now:
                tenant.advance(TEN + look * HOUR)
        if what == "fact":
            tenant.send(fact(now, category="marketing"))
        elif what == "visit":
            tenant.send(received(now, f"62811{place:08d}"))
        elif what == "top":
            tenant.top_up("whatsapp", "400", starts_at=now)
        elif what == "own":
            allow(tenant, "whatsapp", str(place * 100), now - DAY, now)
        else:
            change(tenant, plans[what], now)
    return tenant


def check_sums(tenant: Tenant) -> None:
    """BA-10: the sum of a balance's ledger entries is the balance."""
    accounts = tenant.accounts()
    assert sum(accounts.values()) == 0
    for lots in tenant.state.lots.values():
        for lot in lots:
            assert accounts[f"lot/{lot.lot_id}"] == lot.remaining


def test_decisions_are_read_in_their_order() -> None:
    """BA-12: of two allowances from one period the later decided holds, and dates stand alone."""
    standing = tenant_on().terms.standing
    for month, amount in ((NOVEMBER + 1, 7), (NOVEMBER, 5), (NOVEMBER, 6)):
        standing = standing.allow("visitors", Own(month, amount * UNIT))

    spans = [period(standing.zone, each) for each in (TEN, MONTH_END, NEXT_END)]
    found = [standing.allowance("visitors", span) // UNIT for span in spans]

    assert found == [1000, 6, 7]
    assert standing.holdings[0].since == BEGINNING
