"""BA-12: what a subscription's periods are granted, whatever is agreed of it and when."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.entitling import entitle, redated, serves
from domain.periods import DAY, Zone, month_label, period, zone, zones
from domain.plans import Plan
from domain.standing import BEGINNING, Holding, Standing
from domain.subscriptions import Resume, Subscription, days_of
from tests.domain.test_changing import plan
from tests.domain.test_recurring import SEATS, lives

SMALL: Plan = plan(visitors="10", conversations="10")
LARGE: Plan = replace(plan(visitors="1000", conversations="1000"), key="large")
UTC = zone("UTC")


def standing_in(where: Zone) -> Standing:
    return Standing(where, None, (Holding(BEGINNING, SMALL),))


def applied(standing: Standing, holdings: tuple[Holding, ...]) -> Standing:
    """As rows are read again: one decision after the other."""
    for each in holdings:
        standing = standing.change(each)
    return standing


def lived(of: Subscription) -> list[tuple[int, Subscription, Standing]]:
    """After each agreement: when it was, what was agreed by then, and what holds."""
    subscription = replace(of, changes=())
    now = of.start * DAY
    standing = standing_in(UTC)
    standing = applied(standing, entitle(standing, subscription, now, to=LARGE).holdings)
    found = [(now, subscription, standing)]
    for change in sorted(of.changes, key=lambda each: (each.agreed_at, each.key)):
        subscription = replace(subscription, changes=(*subscription.changes, change))
        now = max(now, change.agreed_at)
        to = standing.holdings[-1].plan if isinstance(change.deed, Resume) else None
        standing = applied(standing, entitle(standing, subscription, now, to=to).holdings)
        found.append((now, subscription, standing))
    return found


@settings(max_examples=50, deadline=None)
@given(lives())
def test_a_period_is_granted_something_where_its_first_day_is_served(of: Subscription) -> None:
    for now, subscription, standing in lived(of):
        again = applied(standing, entitle(standing, subscription, now).holdings)
        next_month = period(UTC, now).label + 1
        for month in range(next_month, next_month + 9):
            holding = standing.holding(UTC.month_bounds(month)[0])
            assert holding.grants == serves(subscription, days_of(month)[0])
            assert holding.plan is LARGE
            assert again.holding(UTC.month_bounds(month)[0])[1:] == holding[1:]


@settings(max_examples=30, deadline=None)
@given(
    lives(),
    st.sampled_from(["Asia/Jakarta", "America/Bogota", "Pacific/Kiritimati"]),
    st.integers(0, 40),
)
def test_so_it_is_in_another_zone(of: Subscription, there: str, later: int) -> None:
    """TZ-3: from the next month on, whichever way its midnights move."""
    now, _, standing = lived(of)[-1]
    now += later * DAY
    moved = zones(((None, "UTC"), (UTC.next_month(now), there)))
    after = applied(replace(standing, zone=moved), redated(standing, moved, now))
    next_month = period(moved, now).label + 1
    for month in range(next_month, next_month + 9):
        holding = after.holding(moved.month_bounds(month)[0])
        assert holding.grants == standing.holding(UTC.month_bounds(month)[0]).grants


def test_more_is_there_at_once_where_today_is_served() -> None:
    """A day of the first period, or of one after a pause; not before it begins."""
    of = Subscription(key="main", fees=SEATS, start=20_000, term=SEATS.term)
    standing = standing_in(UTC)
    assert entitle(standing, of, 20_000 * DAY, to=LARGE).targets == {
        "visitors": 1_000_000_000, "conversations": 1_000_000_000
    }  # fmt: skip
    early = entitle(standing, of, 19_999 * DAY, to=LARGE)
    assert early.targets == {}
    (begins,) = early.holdings
    assert begins == Holding(UTC.month_bounds(month_label(2024, 11))[0], LARGE)
