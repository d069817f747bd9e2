"""`settle`: late facts put into their order now; how that is done is the operation's to say."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from api.cli.operating import operate
from api.cli.options import AsJson, Data
from api.cli.terminal import note, result, settings
from api.operations.settle import Settle, run
from api.settings import Clock
from api.settling import Settled, Settling
from domain.money import text
from domain.problems import Problem
from persistence import unsettled
from persistence.catalogue import Catalogue
from persistence.door import Door


def settle(
    *tenants: Annotated[
        str, Parameter(help="Tenants by their keys; default: all that have late facts.")
    ],
    data: Data = None,
    as_json: AsJson = False,
) -> int:
    """Settle tenants: 1 if one could not be, because somebody else does it or there is none."""
    given = settings()
    clock = Clock.starting(given.clock)

    async def act(door: Door) -> tuple[list[Settled], list[tuple[str, Problem]]]:
        async with door.system_tx("the catalogue is of no tenant") as connection:
            catalogue = await Catalogue.load(connection)
        # What is posted is shown by the sweep of whoever serves.
        settling = Settling(door, catalogue, clock.now, None)
        found: list[Settled] = []
        refused: list[tuple[str, Problem]] = []
        for tenant in dict.fromkeys(tenants) or await unsettled.marked(door):
            try:
                found.append(await run(door, settling, Settle(tenant=tenant), now=clock.now()))
            except Problem as problem:
                refused.append((tenant, problem))
        return found, refused

    found, refused = operate(given, data, act)
    if not as_json:
        for tenant, problem in refused:
            note(f"{tenant}: {problem.message}")
    lines = [_line(settled) for settled in found]
    if not lines and not refused:
        lines = ["nobody has late facts"]
    shown = {
        "settled": [
            {
                "tenant": each.tenant,
                "facts": each.facts,
                "corrected": each.corrected,
                "differences": {key: text(amount) for key, amount in each.differences.items()},
                "posted": each.settlement_id is not None,
            }
            for each in found
        ],
        "refused": [
            {"tenant": tenant, "code": problem.code, "message": problem.message}
            for tenant, problem in refused
        ],
    }
    result("\n".join(lines), shown, as_json=as_json)
    return 1 if refused else 0


def _line(settled: Settled) -> str:
    """What became of one tenant."""
    read = f"{settled.tenant}: {settled.facts:,} facts read, "
    if settled.settlement_id is None:
        return read + "nothing to correct"
    differences = ", ".join(
        f"{key} {'+' if amount > 0 else ''}{text(amount)}"
        for key, amount in settled.differences.items()
    )
    return f"{read}{settled.corrected:,} corrected: {differences or 'the sums are the same'}"
