"""One fact of a tenant, charged or not: what became of it, and why."""

from __future__ import annotations

from typing import Annotated

import strawberry
from strawberry.types import Info

from api.cloudevents import key_of
from api.context import Context
from api.schema.charge import SCOPE, Charge, ChargeFlag, ChargeStatus, flags_of
from api.schema.explaining import explained
from api.schema.explanation import ChargeReason
from api.schema.fields import computed
from api.schema.owner import Owner
from api.schema.scalars import DateTime
from api.schema.wording import Wording, uncharged
from domain import explain
from domain.facts import CHANNEL_NAMES, GROUP_MARK, TYPES
from persistence import charges, explanations
from persistence.charges import ChargeRecord
from persistence.explanations import FactRecord
from persistence.tenants import TenantRecord

#: Charges of one fact that are shown: parts, revisions and reversals together.
CHARGES_MAX = 100

#: Behind every charge of a fact, as `charges.Cursor` orders them.
_LAST = charges.FIRST_PAGE

_TYPE_NAMES: dict[int, str] = {kind: name for name, kind in TYPES.items()}


@strawberry.type(description="One thing that happened, as it was kept.")
class Fact:
    fact: strawberry.Private[FactRecord]
    owner: strawberry.Private[TenantRecord]

    @computed("Its source.")
    def source(self) -> str:
        return self.fact.source

    @computed("Its id, as its source gave it.")
    def fact_id(self) -> str:
        return self.fact.id

    @computed("What became of it.")
    def status(self) -> ChargeStatus:
        return ChargeStatus(self.fact.status)

    @computed("When it happened.")
    def at(self) -> DateTime:
        return DateTime(self.fact.place.at)

    @computed("When it came.")
    def arrived_at(self) -> DateTime:
        return DateTime(self.fact.arrived_at)

    @computed("What happened, such as `message.delivered`.")
    def type(self) -> str:
        return _TYPE_NAMES[self.fact.type]

    @computed("The address of the tenant's number.")
    def number(self) -> str | None:
        return self.fact.number

    @computed("The number's channel, such as `whatsapp`.")
    def channel(self) -> str | None:
        return None if self.fact.channel is None else CHANNEL_NAMES[self.fact.channel]

    @computed("The address of the other end; null for a group.")
    def contact(self) -> str | None:
        party = self.fact.party
        return None if party.startswith(GROUP_MARK) else party

    @computed("The id of the group; null for a single contact.")
    def group(self) -> str | None:
        party = self.fact.party
        return party.removeprefix(GROUP_MARK) if party.startswith(GROUP_MARK) else None

    @computed("The message's own category.")
    def category(self) -> str | None:
        return self.fact.category

    @computed("The id of the hold it named.")
    def hold(self) -> str | None:
        return self.fact.hold

    @computed("What it did beside its charge.")
    def flags(self) -> list[ChargeFlag]:
        return flags_of(self.fact.flags)

    @computed("What it cost; none where it was kept without a charge. First charges first.")
    async def charges(self, info: Info[Context, None]) -> list[Charge]:
        records = await self._charges(info.context)
        return [
            Charge(record=record, locale=self.owner.locale, tenant_id=self.owner.tenant_id)
            for record in records
        ]

    @computed("Why it was kept without a charge; null where it has one, which explains itself.")
    async def why(self, info: Info[Context, None]) -> ChargeReason | None:
        if await self._charges(info.context):
            return None
        return ChargeReason(explain.why_not_charged(self.fact.status, self.fact.flags))

    @computed("What became of it as sentences that people read, one for each charge.")
    async def sentence(
        self,
        info: Info[Context, None],
        locale: Annotated[
            str,
            strawberry.argument(description="A language tag: `en` or `id`, with or without region"),
        ] = "en",
    ) -> str:
        context = info.context
        told = []
        for record in await self._charges(context):
            of = await explained(context, self.owner.tenant_id, record)
            told.append(Wording(of, locale).sentence())
        plan = context.catalogue.plans.get(self.owner.plan)
        return " ".join(told) or uncharged(self.fact, "-" if plan is None else plan.book, locale)

    async def _charges(self, context: Context) -> list[ChargeRecord]:
        """Its charges in the order they were made."""

        async def load(facts: list[charges.Asked]) -> list[list[ChargeRecord]]:
            return await charges.pages(context.door, facts, limit=CHARGES_MAX)

        at, key = self.fact.place.at, self.fact.place.key
        asked = charges.Asked(
            tenant_id=self.owner.tenant_id,
            after=_LAST._replace(at=at, key=key),
            start=at,
            end=at + 1,
        )
        records = await context.loader("charges of facts", load).load(asked)
        return [record for record in reversed(records) if record.cursor.key == key]


@strawberry.type
class TenantFacts(Owner):
    """The field of a tenant that looks up one fact."""

    @computed("The fact of a source and id; null where none was kept.")
    async def fact(
        self,
        info: Info[Context, None],
        source: Annotated[str, strawberry.argument(description="The event's `source`.")],
        id: Annotated[str, strawberry.argument(description="The event's `id`.")],
    ) -> Fact | None:
        context = info.context
        context.require(SCOPE)

        async def load(asked: list[tuple[int, bytes]]) -> list[FactRecord | None]:
            found = await explanations.facts_by_key(context.door, asked)
            return [found.get(one) for one in asked]

        try:
            key = (self.record.tenant_id, key_of(source, id))
        except UnicodeEncodeError:
            return None  # half a character: the edge takes no fact that is called so
        fact = await context.loader("facts by key", load).load(key)
        return None if fact is None else Fact(fact=fact, owner=self.record)
