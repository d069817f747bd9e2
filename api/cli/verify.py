"""`verify`: are the books of tenants right; how that is found out is `api.verifying`'s to say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from cyclopts import Parameter

from api.cli.operating import operate
from api.cli.options import AsJson, Data
from api.cli.progress import progress
from api.cli.terminal import note, result, settings
from api.settings import Clock
from api.verifying import Verified, Verifying
from domain.periods import iso
from persistence import tenants as known
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.tenants import TenantRecord

PAGE_TENANTS = 100

#: Called with how many tenants are done and how many rows were read.
Shown = Callable[[int, int], None]


def verify(
    *tenants: Annotated[str, Parameter(help="Tenants by their keys; default: all.")],
    data: Data = None,
    as_json: AsJson = False,
) -> int:
    """Prove that the books of tenants are right: 1 if a value is wrong, or there is no such tenant.

    Nothing is written and nobody waits for it.
    """
    given = settings()
    clock = Clock.starting(given.clock)

    async def act(door: Door) -> tuple[list[str], list[Verified], list[str]]:
        async with door.system_tx("the catalogue is of no tenant") as connection:
            catalogue = await Catalogue.load(connection)
        verifying = Verifying(door, catalogue, clock.now)
        asked, unknown = await _asked(door, tenants)
        with progress("verifying", len(asked) or None) as shown:
            found = [
                await _one(verifying, tenant, place, shown) for place, tenant in enumerate(asked)
            ]
        return await verifying.catalogue(), found, unknown

    catalogue, found, unknown = operate(given, data, act)
    if not as_json:
        for key in unknown:
            note(f"there is no tenant {key[:64]!r}")
    lines = [f"wrong    {name} is not what was published" for name in catalogue]
    for verified in found:
        lines += _lines(verified)
    if not found and not unknown:
        lines.append("there are no tenants")
    shown_ones = {
        "catalogue": catalogue,
        "tenants": [_shown(verified) for verified in found],
        "unknown": unknown,
    }
    result("\n".join(lines), shown_ones, as_json=as_json)
    return 1 if catalogue or unknown or any(verified.wrong for verified in found) else 0


async def _asked(door: Door, keys: tuple[str, ...]) -> tuple[list[TenantRecord], list[str]]:
    """The tenants of these keys, or all, and the keys that are nobody's."""
    if keys:
        named = await known.find_by_keys(door, list(dict.fromkeys(keys)))
        return list(named.values()), [key for key in dict.fromkeys(keys) if key not in named]
    found: list[TenantRecord] = []
    while page := await known.page(
        door, after=found[-1].key if found else "", limit=PAGE_TENANTS
    ):  # fmt: skip
        found += page
    return found, []


async def _one(verifying: Verifying, tenant: TenantRecord, place: int, shown: Shown) -> Verified:
    async def told(rows: int) -> None:
        shown(place, rows)

    verified = await verifying.verify(tenant.tenant_id, told=told)
    shown(place + 1, verified.facts)
    return verified


def _lines(verified: Verified) -> list[str]:
    """What is said of one tenant: a line, and one for each value that is wrong."""
    read = f"{verified.tenant}: {verified.facts:,} facts to version {verified.version:,}, "
    if verified.wrong:
        told = f"{verified.wrong:,} value{'s' if verified.wrong > 1 else ''} wrong"
    else:
        told = "the books are right"
    if verified.unsettled:
        counts = ", ".join(f"{count:,} {what}" for what, count in verified.unsettled.items())
        since = iso(verified.unsettled_from or 0)
        told += f"; unsettled since {since}: {counts}"
    if verified.unproven:
        counts = ", ".join(f"{count:,} {what}" for what, count in verified.unproven.items())
        told += f"; older than any proof: {counts}"
    lines = [f"{'wrong' if verified.wrong else 'ok':8} {read}{told}"]
    lines += [f"         {finding}" for finding in verified.findings]
    further = verified.wrong - len(verified.findings)
    return [*lines, f"         and {further:,} more"] if further else lines


def _shown(verified: Verified) -> dict[str, object]:
    since = verified.unsettled_from
    return {
        "tenant": verified.tenant,
        "version": verified.version,
        "facts": verified.facts,
        "wrong": verified.wrong,
        "findings": [
            {
                "table": each.table, "row": each.row, "column": each.column or None,
                "found": each.found, "right": each.right,
            }
            for each in verified.findings
        ],
        "unsettled_from": None if since is None else iso(since),
        "unsettled": verified.unsettled,
        "unproven": verified.unproven,
    }  # fmt: skip
