"""What can be fetched again by its id."""

from __future__ import annotations

import strawberry


@strawberry.interface(description="Something that `node` finds again by its id.")
class Node:
    id: strawberry.ID = strawberry.field(description="Opaque; names it among everything there is.")
