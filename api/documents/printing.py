"""Printing: an invoice as a PDF to be filed, and as pictures of its pages to be looked at.

Owns the call of the printer. The file is PDF/A-3 with tags, says what it is made of by nothing but
the invoice, and is the same bytes wherever these fonts and this printer are: no clock, no
randomness, no font of the machine. What stands on a page is `page`'s, how it looks `invoice.typ`'s;
texts reach that as data, so that markup in a name stays a name. It takes the processor for as long
as it prints: call it off the loop that serves sockets.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, time
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from api.documents import fonts
from api.documents.page import page
from domain.invoices import Invoice
from domain.periods import date_of

if TYPE_CHECKING:
    import typst

#: Long-term archiving with files in it, every text readable by machines; and by readers aloud.
STANDARDS: Final = ("a-3a", "ua-1")


def pdf(invoice: Invoice) -> bytes:
    """The invoice as a PDF file."""
    printed = _printed(invoice, format="pdf", pdf_standards=list(STANDARDS), timestamp=_at(invoice))
    assert isinstance(printed, bytes)
    return printed


def pictures(invoice: Invoice, ppi: int = 96) -> list[bytes]:
    """The invoice's pages, each as a PNG file."""
    printed = _printed(invoice, format="png", ppi=float(ppi))
    return printed if isinstance(printed, list) else [printed]


def _printed(invoice: Invoice, **how: Any) -> Any:
    told = json.dumps(page(invoice), ensure_ascii=False)
    return _compiler().compile(input=_template(), sys_inputs={"invoice": told}, **how)


def _compiler() -> typst.Compiler:
    """A printer that knows our fonts and no other, and no file."""
    import typst

    return typst.Compiler(input=_template(), font_paths=_fonts(), ignore_system_fonts=True)


@lru_cache(maxsize=1)
def _fonts() -> typst.Fonts:
    import typst

    folders = [path.parent for path in fonts.paths()]
    found = typst.Fonts(
        include_system_fonts=False, include_embedded_fonts=False, font_paths=list(folders)
    )
    # Without its font a text is left out, and nothing is said of it.
    lacking = set(fonts.FAMILIES) - set(found.families())
    if lacking:
        raise RuntimeError(f"documents need fonts that are not here: {', '.join(sorted(lacking))}")
    return found


@lru_cache(maxsize=1)
def _template() -> bytes:
    return (files("api.documents") / "invoice.typ").read_bytes()


def _at(invoice: Invoice) -> datetime:
    """When the file says it was made: on the day of issue; a draft's has no day, and says 1970."""
    return datetime.combine(date_of(invoice.issued_on or 0), time(), UTC)
