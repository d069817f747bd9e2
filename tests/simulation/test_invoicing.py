"""Seeded worlds whose tenants are invoiced: closings, what they ask for, and what stays so.

Facts come late, twice and in any order, periods are closed and what comes after is adjusted; what
was kept of a closed period is what its books say ever after, to the last digit.
"""

from __future__ import annotations

from copy import deepcopy
from random import Random

import pytest

from api.invoicing.scheduling import schedule
from domain.periods import month_name, period
from domain.unpaid import ACCOUNTS, cause_of
from domain.usage_lines import Share, charged
from persistence import billing, closed_usage, load, terms
from persistence.servers import Servers
from tests.api.invoicing.office import Office
from tests.persistence.test_usage_lines import LOTS
from tests.simulation.acting import Acting, fresh
from tests.simulation.rulebook import Json
from tests.simulation.world import RULES
from tests.simulation.world import world as seeded

STEPS = 150

TAKEN = """
select b.key, t.cause, sum(t.amount)::bigint as amount
from transfers t join balances b using (tenant_id, balance_id)
where t.tenant_id = $1 and t.at = $2::bigint - 1 and t.debit = any ($3::text[]) group by 1, 2"""

DRAFTED = "select count(*) from tasks where tenant_id = $1 and kind = 'invoice'"


def plans(chance: Random) -> dict[str, Json]:
    """The worlds' plans, as somebody sells them who invoices."""
    found = deepcopy(RULES["plans"])
    for plan in found.values():
        for each in plan["balances"]:
            if each["kind"] == "money":
                if (limit := chance.choice(("0", "5", "5000"))) != "0":
                    each["credit_limit"] = limit
            elif (price := chance.choice((None, "0", "0.123456789012"))) is not None:
                each["overage_price"] = price
    return found


class Invoiced(Acting):
    """A tenant of a world that has invoices: one period after the other is closed."""

    async def invoice(self) -> None:
        """Begin to invoice it from its first period on."""
        world, tenant_id = self.world, self.world.tenants[self.name].tenant_id
        now = world.clock.now()
        async with world.door.tenant_tx(tenant_id) as connection:
            await load.lock(connection, [tenant_id], wait=True)
            await billing.set_invoicing(connection, tenant_id, True)
            (own,) = await terms.by_ids(connection, world.catalogue, [tenant_id])
            await schedule(connection, own, own.zone.month(now), now)

    async def act(self, action: Json) -> None:
        """As every tenant's; of closings those before are done first."""
        if action["action"] != "close":
            await super().act(action)
            return
        tenant_id = self.world.tenants[self.name].tenant_id
        while True:
            async with self.world.door.tenant_tx(tenant_id) as connection:
                first = await closed_usage.next_period(connection, tenant_id)
            if first is None or first > action["month"]:
                return
            await super().act({**action, "month": first, "key": f"{action['key']} {first}"})


async def test_a_closed_period_says_what_its_books_say_ever_after(
    servers: Servers, template: str, invoicing_seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """IN-7, IN-8, BA-10, BA-11, EV-3, FI-2: what is asked for is what was taken out of the lots."""
    of = seeded(invoicing_seed, tenants=1, steps=STEPS, whole=True)
    (tenant,) = of.tenants
    chance = Random(f"{invoicing_seed} invoices")
    monkeypatch.setitem(RULES, "plans", plans(chance))
    async with fresh(servers, template) as world:
        acting = Invoiced(world, tenant, tenant.setup["tenant"])
        await acting.begin()
        await acting.invoice()
        office = Office.of(world)
        kept: dict[int, closed_usage.ClosedUsage] = {}
        for batch in of.arrivals(tenant, "weeks"):
            await acting.take([batch])
            if chance.random() < 0.02:
                await acting.settle()
            for label, usage in (await closed(acting)).items():
                kept.setdefault(label, usage)
        world.clock.at = of.end
        await acting.settle()
        await acting.verify()
        assert await closed(acting) == kept
        for label, usage in kept.items():
            await check(acting, label, usage)
        await office.quiet()
        await acting.verify()
        assert [row["count"] for row in await world.rows(acting.name, DRAFTED)] == [0]


async def closed(acting: Acting) -> dict[int, closed_usage.ClosedUsage]:
    """What is kept of closed periods."""
    rows = await acting.world.rows(
        acting.name, "select period from closed_usage where tenant_id = $1 order by period"
    )
    tenant_id, found = acting.world.tenants[acting.name].tenant_id, {}
    async with acting.world.door.tenant_tx(tenant_id) as connection:
        for row in rows:
            usage = await closed_usage.find(connection, tenant_id, row["period"])
            assert usage is not None
            found[row["period"]] = usage
    return found


async def check(acting: Acting, label: int, usage: closed_usage.ClosedUsage) -> None:
    """Hold what is kept against the books as they are now."""
    world, tenant_id = acting.world, acting.world.tenants[acting.name].tenant_id
    async with world.door.tenant_tx(tenant_id) as connection:
        (own,) = await terms.by_ids(connection, world.catalogue, [tenant_id])
        again = await closed_usage.worked_out(connection, own, usage.end)
    assert again == usage, month_name(label)
    assert period(own.zone, usage.start).label == label
    by_balance: dict[str, int] = {}
    for row in await world.rows(acting.name, LOTS, usage.start, usage.end):
        by_balance[row["balance"]] = by_balance.get(row["balance"], 0) + row["used"]
    shares = charged(usage.lines)
    assert {key: sum(each.values()) for key, each in shares.items()} == by_balance
    accounts = list(ACCOUNTS.values())
    taken = {
        row["key"]: (row["cause"], row["amount"])
        for row in await world.rows(acting.name, TAKEN, usage.end, accounts)
    }
    for key, number in own.balance_ids.items():
        balance = own.at(usage.end - 1).balances[number]
        lines = [line for line in usage.lines if line.balance == key]
        asked = sum(
            line.exact if balance.kind == "money" else line.charged or line.quantity
            for line in lines
            if line.share in (Share.ASKED, Share.OVERAGE, Share.WRITTEN_OFF, Share.BEFORE)
        )
        if balance.kind == "unit" and balance.overage_price is None:
            asked = taken.get(key, (0, 0))[1]  # of what was left for later no line speaks
        assert taken.get(key, (cause_of(balance), 0)) == (cause_of(balance), asked), (label, key)
