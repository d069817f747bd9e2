"""Printing: an invoice as a PDF to be filed, and as pictures of its pages to be looked at.

Owns the call of the printer. The file is PDF/A-3 with tags, says what it is made of by nothing but
the invoice, and is the same bytes wherever these fonts and this printer are: no clock, no
randomness, no font of the machine. What stands on a page is `page`'s, how it looks `invoice.typ`'s;
texts reach that as data, so that markup in a name stays a name. It takes the processor for as long
as it prints: call it off the loop that serves sockets.
"""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, time
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from api.documents import einvoice, fonts
from api.documents.embedding import declared
from api.documents.page import page
from domain.invoices import Invoice
from domain.periods import date_of

if TYPE_CHECKING:
    import typst

#: Long-term archiving with files in it, every text readable by machines; and by readers aloud.
STANDARDS: Final = ("a-3a", "ua-1")

#: Lines of a document after which the printer is made to forget it.
LARGE_LINES: Final = 200
#: Documents of which a printer keeps what it may use again.
_KEPT_OF: Final = 10


def pdf(invoice: Invoice) -> bytes:
    """The invoice as a PDF file, with its e-invoice in it where it has one."""
    inside = None if einvoice.refusal(invoice) else einvoice.xml(invoice)
    printed = _printed(
        invoice, inside or b"", format="pdf", pdf_standards=list(STANDARDS), timestamp=_at(invoice)
    )
    assert isinstance(printed, bytes)
    return printed if inside is None else declared(printed)


def pictures(invoice: Invoice, ppi: int = 96) -> list[bytes]:
    """The invoice's pages, each as a PNG file."""
    printed = _printed(invoice, format="png", ppi=float(ppi))
    return printed if isinstance(printed, list) else [printed]


def _printed(invoice: Invoice, inside: bytes = b"", **how: Any) -> Any:
    told = json.dumps(page(invoice), ensure_ascii=False)
    inputs = {"invoice": told, "xml": inside.decode()}
    printed = _compiler().compile(input=_template(), sys_inputs=inputs, **how)
    if len(invoice.lines) > LARGE_LINES:
        # What is kept of a document goes with the tenth after it: 100 MB of one of 2,000 lines.
        for _ in range(_KEPT_OF + 1):
            _compiler().compile(input=b"", format="pdf")
    return printed


def _compiler() -> typst.Compiler:
    """The thread's printer, which knows our fonts and no other, and no file.

    What each one keeps of its documents goes with the next ones; with a new printer for each
    document all of it would stay for as long as the process lives, 100 KB of a small one.
    """
    import typst

    found: typst.Compiler | None = getattr(_own, "compiler", None)
    if found is None:
        found = typst.Compiler(input=_template(), font_paths=_fonts(), ignore_system_fonts=True)
        _own.compiler = found
    return found


#: Of each thread: a printer is for one document at a time.
_own: Final = threading.local()


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
