"""Acts: what an operator does in a story, and what is answered.

-> price N              what a top-up costs
-> refused CODE         with this code, and no version of the tenant came of it
-> N                    what was refunded or taken back
-> N, forfeited M       of it, what came back to nobody
-> from DAY             from when on a market's international rate is paid, or `no day`
-> from INSTANT         from when on another plan, zone or an allowance of its own holds
"""

from __future__ import annotations

from datetime import date

from api import ids
from domain.money import text
from domain.periods import date_number, date_of, iso
from domain.problems import Problem
from persistence.actions import Action
from tests.scenarios.text import Act
from tests.scenarios.world import World

_VERSION = "select version from tenant_head where tenant_id = $1"


class Acts:
    """The acts of one tenant's operator, and the top-ups they have named."""

    def __init__(self, world: World, tenant: str) -> None:
        self._world = world
        self._tenant = tenant
        self._named: dict[str, str] = {}

    def call(self, name: str | None, top_up: Action) -> None:
        """Let later lines name a top-up."""
        if name is not None:
            self._named[name] = ids.encode("top", top_up.action_id)

    async def do(self, act: Act) -> None:
        """Do it, and hold the answer against what the line promises."""
        before, refused = await self._version(), ""
        try:
            action = await self._ask(act)
        except Problem as problem:
            refused = f"refused {problem.code}"
        if refused or act.expected.startswith("refused"):
            assert act.expected == refused, f"the answer is {refused or 'no refusal'}"
            assert await self._version() == before, "something was kept of what was refused"
            return
        if act.verb == "buy":
            self.call(act.name, action)
        if act.expected:
            answer = self._answer(act, action)
            assert act.expected == answer, f"the answer is {answer}"

    async def _ask(self, act: Act) -> Action:
        world, tenant, key = self._world, self._tenant, act.name or act.place
        if act.verb == "buy":
            assert act.amount is not None
            return await world.top_up(tenant, act.target, act.amount, key=key, as_offered=True)
        if act.verb == "adjust":
            assert act.amount is not None
            return await world.adjust(tenant, act.target, act.amount, key=key)
        if act.verb == "plan":
            plan = None if act.target == "none" else act.target
            return await world.change_plan(tenant, plan, key=act.place)
        if act.verb == "zone":
            number, _, timezone = act.target.rpartition("=")
            if number:
                return await world.change_number_zone(tenant, number, timezone, key=act.place)
            return await world.change_zone(tenant, timezone, key=act.place)
        if act.verb == "abroad":
            day = None if act.name is None else date_number(date.fromisoformat(act.name))
            return await world.pay_abroad(tenant, act.target, since=day, key=act.place)
        if act.verb == "allow":
            assert act.name is not None
            since = date_number(date.fromisoformat(act.name))
            return await world.allow(tenant, act.target, act.amount, since=since, key=act.place)
        what = await self._target(act.target)
        return await world.refund(
            tenant, key=key, amount=act.amount, taken_back=act.verb == "take-back", **what
        )

    async def _target(self, name: str) -> dict[str, str]:
        """A top-up by its name, or the charge of an event by its id."""
        if name in self._named:
            return {"top_up": self._named[name]}
        (charge,) = [
            each for each in await self._world.charges(self._tenant) if each.fact_id == name
        ]
        return {"charge": ids.encode_charge(*charge.cursor)}

    def _answer(self, act: Act, action: Action) -> str:
        body = action.body
        if act.verb in ("plan", "allow", "zone"):
            return f"from {iso(body['since'])}"
        if act.verb == "abroad":
            return "no day" if body["from"] is None else f"from {date_of(body['from'])}"
        if act.verb == "buy":
            return f"price {text(body['price'])}"
        lost = body.get("forfeited", 0)
        return text(body["amount"]) + (f", forfeited {text(lost)}" if lost else "")

    async def _version(self) -> int:
        row = await self._world.row(self._tenant, _VERSION)
        return int(row["version"])
