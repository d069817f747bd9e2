"""Worlds folded again: page by page, in fact order, what people did as deeds among the facts."""

from __future__ import annotations

from random import Random

from domain.deeds import Adjustment, Deed, TakeBack, TopUp, TopUpRefund, Upgrade
from domain.facts import Fact
from domain.lots import LotSource
from domain.money import micros
from domain.rate import claims_message
from domain.refold import Input, Refold, place
from domain.top_ups import carried_until
from tests.simulation import figures, model
from tests.simulation.closed import place_of
from tests.simulation.driver import Driver
from tests.simulation.rulebook import Json, instant
from tests.simulation.world import RULEBOOK, Tenant, world


class Again(Driver):
    """A tenant whose log is folded from nothing, as settling does."""

    def deed(self, action: Json) -> Deed | None:
        """What an operator did, as it is folded again; a zone stands in the terms."""
        kind, at, accepted = action["action"], place_of(action), instant(action["time"])
        key, terms = action["key"], self.terms.at(at)
        if kind == "zone_change":
            self.rezone(action, at)
            return None
        if kind == "plan_change":
            targets = self.replan(action["plan"], at)
            return Upgrade(at=at, key=key, accepted_at=accepted, targets=targets)
        if kind == "take_back":
            return TakeBack(at=at, key=key, accepted_at=accepted, top_up=action["top_up"])
        amount = micros(action["amount"], signed=True)
        if kind == "refund":
            top_up = action["top_up"]
            return TopUpRefund(at=at, key=key, accepted_at=accepted, top_up=top_up, amount=amount)
        balance_id = terms.balance_ids[action["balance"]]
        starts_at = instant(action.get("starts", action["time"]))
        ends_at = carried_until(terms, terms.balances[balance_id].carry, starts_at)
        if kind == "adjustment":
            return Adjustment(
                at=at, key=key, accepted_at=accepted, balance_id=balance_id, amount=amount,
                ends_at=ends_at,
            )  # fmt: skip
        return TopUp(
            at=at, key=key, accepted_at=accepted, balance_id=balance_id, amount=amount,
            source=LotSource[action.get("source", "top_up").upper()], starts_at=starts_at,
            ends_at=instant(action["expires"]) if "expires" in action else ends_at,
        )  # fmt: skip

    def log(self, tenant: Tenant, refused: list[str], until: int) -> list[Input]:
        """Everything that was kept, in fact order."""
        deeds: dict[str, Deed | None] = {}
        for one in tenant.inputs:
            if "action" in one and one["key"] not in (*deeds, *refused):
                deeds[one["key"]] = self.deed(one)
        facts: dict[bytes, Fact] = {}
        for one in tenant.inputs:
            if "action" not in one:
                fact = self.read(one, until)
                facts.setdefault(fact.key, fact)
        return sorted([*filter(None, deeds.values()), *facts.values()], key=place)

    def fold(self, inputs: list[Input], pages: Random, until: int) -> None:
        first: dict[bytes, Fact] = {}
        repeated: dict[bytes, int] = {}
        for one in inputs:
            if isinstance(one, Fact) and claims_message(self.terms, one):
                assert one.message is not None
                if (other := first.setdefault(one.message, one)) is not one:
                    repeated[one.key] = other.at
        refold = Refold(self.terms, self.state)
        while inputs:
            page, inputs = inputs[: (size := pages.randint(1, 60))], inputs[size:]
            for outcome in refold.take(page, repeated):
                self.note(outcome)
        refold.advance(until)
        for (lot_id, day), amounts in refold.lot_days.items():
            self.days[lot_id][day] = amounts


def test_folded_again_a_log_comes_to_what_the_rules_say(seed: int) -> None:
    """EV-4, EV-9: by pages of whatever size; usage is rolled up from what changed."""
    of = world(seed)
    for tenant in of.tenants:
        known = model.run(RULEBOOK, tenant.setup, tenant.inputs, of.start, of.end)
        again = Again(tenant, punctual=True)
        again.fold(again.log(tenant, known["refused"], of.end), Random(seed), of.end)
        again.refused = known["refused"]
        found = again.figures(of.start, of.end) | {"usage": known["usage"]}
        lines = figures.differences(known, found)
        assert not lines, figures.failure(seed, tenant.setup["tenant"], lines)
