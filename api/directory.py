"""The directory: terms of the tenants a process has lately met.

Owns what is remembered and for how long. Terms may be out of date here: a number it does not know
may be a moment old, and a lane reads the terms again when the locked head says that they changed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from api.limits import TENANTS_REMEMBERED_MAX
from domain.terms import Terms
from persistence import terms as stored
from persistence.catalogue import Catalogue
from persistence.connection import Connection
from persistence.door import Door


class Directory:
    """Terms by key and by id, the same ones."""

    def __init__(self, door: Door, catalogue: Catalogue) -> None:
        self._door = door
        self._catalogue = catalogue
        self._by_key: dict[str, Terms] = {}
        self._by_id: dict[int, Terms] = {}

    def __getitem__(self, tenant_id: int) -> Terms | None:
        """The terms of a tenant, unless they were made of a book that was replaced since."""
        own = self._by_id.get(tenant_id)
        # A tenant that was created while its book was published is found out here.
        books = self._catalogue.books
        replaced = own is not None and any(
            view.book is not books.get(view.book.key) for _, view in own.views
        )
        return None if replaced else own

    async def find(self, keys: Collection[str]) -> dict[str, Terms]:
        """The terms of the tenants that exist of `keys`, by key."""
        found = {key: self._by_key[key] for key in keys if key in self._by_key}
        missing = [key for key in keys if key not in found]
        return {**found, **(await self.read(missing))} if missing else found

    async def read(self, keys: Collection[str]) -> dict[str, Terms]:
        """As `find`, from the database."""
        own = await stored.by_keys(self._door, self._catalogue, keys)
        self._keep(own)
        return {terms.key: terms for terms in own}

    async def read_locked(self, connection: Connection, tenants: Collection[int]) -> None:
        """Read terms again in the transaction that holds the tenants' locks."""
        self._keep(await stored.by_ids(connection, self._catalogue, tenants))

    def _keep(self, own: Iterable[Terms]) -> None:
        for terms in own:
            self._by_key[terms.key] = self._by_id[terms.tenant_id] = terms
        while len(self._by_id) > TENANTS_REMEMBERED_MAX:
            oldest = self._by_id.pop(next(iter(self._by_id)))
            self._by_key.pop(oldest.key, None)
