"""Verifying as operators see it: whether a tenant's books are right, and what is not."""

from __future__ import annotations

import strawberry

from api.context import Context
from api.faults import Fault
from api.limits import VERIFY_FACTS_MAX
from api.schema.paging import page_size
from api.schema.scalars import BigInt, DateTime
from api.schema.terms import require_operator
from api.verifying import TooLargeError, Verified, Verifying
from domain.verify import Finding
from persistence.tenants import find_by_keys


@strawberry.type(description="A value that is not what it should be.")
class VerificationFinding:
    table: str = strawberry.field(description="The table.")
    row: str = strawberry.field(description="What the row is called.")
    column: str | None = strawberry.field(description="The column; null: the whole row.")
    found: str = strawberry.field(description="What is there.")
    right: str = strawberry.field(description="What should be.")

    @classmethod
    def from_domain(cls, finding: Finding) -> VerificationFinding:
        return cls(
            table=finding.table, row=finding.row, column=finding.column or None,
            found=finding.found, right=finding.right,
        )  # fmt: skip


@strawberry.type(description="How much will be otherwise once late facts are settled.")
class VerificationUnsettled:
    table: str = strawberry.field(description="The table, or `facts` with their charges.")
    count: int = strawberry.field(description="How many of its rows.")


@strawberry.type(description="A tenant's books beside what its log comes to.")
class Verification:
    version: BigInt = strawberry.field(description="The version of the books that were read.")
    facts: int = strawberry.field(description="How many facts were read.")
    wrong: int = strawberry.field(description="How many values are wrong; 0: the books are right.")
    findings: list[VerificationFinding] = strawberry.field(description="The first of them.")
    unsettled_from: DateTime | None = strawberry.field(
        description="The instant from which on late facts are not settled; null: all are."
    )
    unsettled: list[VerificationUnsettled] = strawberry.field(
        description="What differs for that alone, and is not wrong."
    )

    @classmethod
    def from_domain(cls, found: Verified, first: int) -> Verification:
        since = found.unsettled_from
        return cls(
            version=BigInt(found.version),
            facts=found.facts,
            wrong=found.wrong,
            findings=[VerificationFinding.from_domain(each) for each in found.findings[:first]],
            unsettled_from=None if since is None else DateTime(since),
            unsettled=[
                VerificationUnsettled(table=table, count=count)
                for table, count in found.unsettled.items()
            ],
        )


async def verification_of(context: Context, key: str, first: int) -> Verification | None:
    """Verify a tenant for an operator; None where there is none."""
    require_operator(context)
    size = page_size(first)
    record = (await find_by_keys(context.door, [key])).get(key)
    if record is None:
        return None
    verifying = Verifying(context.door, context.catalogue, lambda: context.now)
    try:
        found = await verifying.verify(record.tenant_id, facts_max=VERIFY_FACTS_MAX)
    except TooLargeError as fault:
        raise Fault(
            "BAD_USER_INPUT",
            f"the tenant has {fault.args[0]:,} facts, and a query reads at most"
            f" {VERIFY_FACTS_MAX:,}; run python -m api verify {key}",
        ) from None
    return Verification.from_domain(found, size)
