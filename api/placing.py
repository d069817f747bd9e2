"""Which lane takes a tenant's facts: the one that has those which are under way.

Owns the choice alone. Tenants are spread over all lanes, so that commits go side by side; but where
nothing is under way, few facts take one lane together, for a commit costs more than they do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial

from api.limits import LANES, TOGETHER_FACTS_MAX
from api.submissions import Submission
from domain.facts import Fact

#: The lane of those that go together.
TOGETHER = 0


class Placing:
    """The choice of lanes in a process."""

    def __init__(self) -> None:
        #: Facts under way on the lane of those that go together, by tenant.
        self._together: Counter[int] = Counter()

    def places(self, facts: Sequence[Fact], *, idle: bool) -> dict[int, list[int]]:
        """The places of facts by the lane they take; `idle` says that nothing is under way."""
        found: dict[int, list[int]] = {}
        few = idle and len(facts) <= TOGETHER_FACTS_MAX
        for place, fact in enumerate(facts):
            tenant = fact.tenant_id
            lane = TOGETHER if few or tenant in self._together else tenant % LANES
            found.setdefault(lane, []).append(place)
        return found

    def keep(self, lane: int, facts: Sequence[Fact], submission: Submission) -> None:
        """Let what comes of these tenants take the same lane until these facts are answered."""
        if lane != TOGETHER:
            return  # others of theirs go there anyway
        tenants = Counter(fact.tenant_id for fact in facts)
        self._together.update(tenants)
        submission.done.add_done_callback(partial(self._answered, tenants))

    def _answered(self, tenants: Counter[int], _: object) -> None:
        self._together.subtract(tenants)
        for tenant in tenants:
            if not self._together[tenant]:
                del self._together[tenant]
