"""Publish an issuer: who asks tenants for money, as a document says it (IN-3).

What is wrong comes all at once. The last document of a key holds for what is issued from then on;
what was issued before says what it said.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass

from domain.documents import Fault
from domain.issuers import IssuerError, parse_issuer
from persistence.audit import trace
from persistence.catalogue import Catalogue, Document, written
from persistence.door import Door
from persistence.publishing import put_issuer, series_of_others


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerPublished:
    """What became of a document: nothing is stored where there are problems."""

    key: str
    new: bool  #: whether it says something else than before
    problems: tuple[Fault, ...] = ()


def issuer_in(text: str) -> Document | None:
    """The issuer that a TOML document is; None: it is none."""
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError):
        return None
    return dict(written(document)) if "issuer" in document else None


async def run(
    door: Door, catalogue: Catalogue | None, document: Document, *, now: int, dry: bool = False
) -> IssuerPublished:
    """Publish an issuer that is right, unless it is `dry`, and let this process know it."""
    try:
        issuer = parse_issuer(document)
    except IssuerError as error:
        return IssuerPublished(key="", new=False, problems=error.problems)
    async with door.system_tx("an issuer is of no tenant") as connection:
        problems = tuple(await series_of_others(connection, issuer))
        new = not (problems or dry) and await put_issuer(connection, issuer, document)
        if new:
            about = f"issuer {issuer.key}"
            await trace(connection, None, "issuerPublish", about, at=now, after=document)
    if catalogue is not None and new:
        async with door.system_tx("the catalogue is of no tenant") as connection:
            await catalogue.refresh(connection)
    return IssuerPublished(key=issuer.key, new=new, problems=problems)
