"""`tenant create`, `tenant status`; what a tenant must be is the operations' to say."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from cyclopts import Parameter

from api.cli.operating import operate
from api.cli.options import AsJson, Data
from api.cli.terminal import Failure, result, settings
from api.operations import tenant_create, tenant_status_set
from api.operations.tenant_create import TenantCreate
from api.operations.tenant_status_set import TenantStatusSet
from api.settings import Clock, instant_of
from domain.periods import date_number, iso, zone
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.tenants import TenantRecord


def create(
    key: Annotated[str, Parameter(help="What facts name it by, such as acme.")],
    /,
    *,
    plan: Annotated[str, Parameter(help="Its plan, such as omnichannel-idr.")],
    name: Annotated[str | None, Parameter(help="Its name; default: the key.")] = None,
    timezone: Annotated[
        str | None, Parameter(help="An IANA zone such as Asia/Jakarta; default: the plan's.")
    ] = None,
    currency: Annotated[
        str | None, Parameter(help="An ISO 4217 code; default: the plan's.")
    ] = None,
    country: Annotated[
        str | None, Parameter(help="Two capital letters; default: the plan's.")
    ] = None,
    locale: Annotated[
        str | None, Parameter(help="A language tag such as id-ID; default: the plan's.")
    ] = None,
    since: Annotated[
        str | None,
        Parameter(
            help="Facts before are refused: a date of its zone, or an instant with its offset."
        ),
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Create a tenant."""
    given = settings()

    async def act(door: Door) -> TenantRecord:
        async with door.system_tx("the catalogue is of no tenant") as conn:
            catalogue = await Catalogue.load(conn)
        known = catalogue.plans.get(plan)
        request = TenantCreate(
            key=key,
            name=name,
            timezone=timezone,
            currency=currency,
            country=country,
            locale=locale,
            plan=plan,
            since=since_of(since, timezone or (known.timezone if known else "UTC")),
        )
        return await tenant_create.run(
            door, catalogue, request, now=Clock.starting(given.clock).now()
        )

    tenant = operate(given, data, act)
    text = f"tenant {tenant.key}: {timezone_of(tenant)}, {tenant.currency}, plan {tenant.plan}"
    result(text, shown(tenant), as_json=as_json)


def status(
    key: Annotated[str, Parameter(help="The tenant's key.")],
    /,
    *,
    status: Annotated[
        str,
        Parameter(help="active, suspended, or blocked because something is unpaid."),
    ],
    reason: Annotated[str, Parameter(help="Why; the audit keeps it.")],
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Serve a tenant, or refuse its sends; what happens is charged all the same."""
    given = settings()
    request = TenantStatusSet(tenant=key, status=status, reason=reason)

    async def act(door: Door) -> TenantRecord:
        async with door.system_tx("the catalogue is of no tenant") as conn:
            catalogue = await Catalogue.load(conn)
        now = Clock.starting(given.clock).now()
        return await tenant_status_set.run(door, catalogue, None, request, now=now)

    tenant = operate(given, data, act)
    shown = {"key": tenant.key, "status": tenant.status}
    result(f"tenant {tenant.key}: {tenant.status}", shown, as_json=as_json)


def since_of(text: str | None, timezone: str) -> int | None:
    """The instant of `--since`: itself, or the start of a local date; None without one."""
    if text is None:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        try:
            return instant_of(text)
        except ValueError as fault:
            raise Failure(f"since: {fault}") from fault
    try:
        return zone(timezone).day_bounds(date_number(day))[0]
    except ValueError as fault:
        raise Failure(f"timezone: {fault}") from fault


def timezone_of(tenant: TenantRecord) -> str:
    """The zone a tenant began with."""
    return tenant.zone.name_at(tenant.created_at)


def shown(tenant: TenantRecord) -> dict[str, object]:
    """A tenant for programs."""
    return {
        "key": tenant.key,
        "name": tenant.name,
        "timezone": timezone_of(tenant),
        "currency": tenant.currency,
        "country": tenant.country,
        "locale": tenant.locale,
        "plan": tenant.plan,
        "since": None if tenant.since is None else iso(tenant.since),
    }
