"""The files of an invoice or a credit note: which there are, what they are called, and their bytes.

Owns the forms, their names, and the tag that tells one's bytes from any other's without making
them. What stands in each is its maker's; who may have one, and how it travels, are others'.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from asyncio import CancelledError
from enum import StrEnum
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from typing import Final

import msgspec

from api.documents import einvoice
from api.documents.lines import lines_csv
from api.documents.printing import pdf
from domain.invoices import Invoice

#: Bytes of a file's name before its ending: file systems have room for 255, links for less.
NAME_BYTES_MAX: Final = 150


class Form(StrEnum):
    """What a document can be had as."""

    PDF = "pdf"
    CSV = "csv"
    XML = "xml"


MEDIA_TYPES: Final = {
    Form.PDF: "application/pdf",
    Form.CSV: "text/csv; charset=utf-8",
    Form.XML: "application/xml",
}

#: What no file's name has on every system, and what would hide or turn round the rest of it.
_UNSAFE: Final = re.compile(r'[\x00-\x1f\x7f-\x9f"*/:<>?\\|]+')
_HIDDEN: Final = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))

#: Whose work is in the bytes of a document, beside our own.
_MAKERS: Final = (
    "typst", "babel", "PyCheval", "factur-x", "pypdf", "fontpkg-noto-sans",
    "fontpkg-noto-sans-arabic", "fontpkg-noto-sans-thai", "noto-cjk-sans-otc",
)  # fmt: skip
#: What of ours is: the modules of a package, or all that is in it.
_OURS: Final = {
    "api.documents": None,
    "api.schema": ("amount",),
    "domain": ("invoice_words", "invoices", "money", "receipts", "sentences", "tax_ids"),
}


def is_there(invoice: Invoice, form: Form) -> bool:
    """Whether an invoice has a file of this form: only some issuers' have one for machines."""
    return form is not Form.XML or einvoice.refusal(invoice) is None


def made(invoice: Invoice, form: Form) -> bytes:
    """The file, which takes the processor for as long as it takes; Problem where there is none."""
    try:
        match form:
            case Form.PDF:
                return pdf(invoice)
            case Form.CSV:
                return lines_csv(invoice)
            case Form.XML:
                return einvoice.xml(invoice)
    except (Exception, KeyboardInterrupt, SystemExit, CancelledError):
        raise
    except BaseException as panic:
        # The printer is not written in Python: where it gives up, nobody who goes on would see it.
        raise RuntimeError(f"the printer gave up: {panic}") from panic


def file_name(invoice: Invoice, name: str, form: Form) -> str:
    """What the file is called: its number, or `draft-` and a name of the draft's own."""
    return f"{safe(invoice.number or f'draft-{name}')}.{form}"


def safe(text: str) -> str:
    """A name that every file system takes; another one for each text that had to be changed."""
    shown = "".join(" " if unicodedata.category(each) in _HIDDEN else each for each in text)
    shown = _UNSAFE.sub("_", shown).strip(" .").encode()[:NAME_BYTES_MAX].decode(errors="ignore")
    shown = shown.strip(" .")
    if shown == text:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{shown}-{digest}" if shown else digest


def tag(invoice_id: int, invoice: Invoice, form: Form) -> str:
    """A strong entity tag: of what the file is made of, and by what."""
    said = hashlib.sha256(msgspec.json.encode(invoice)).hexdigest()
    whole = f"{invoice_id} {form} {said} {_printer()}"
    return f'"{hashlib.sha256(whole.encode()).hexdigest()[:32]}"'


@lru_cache(maxsize=1)
def _printer() -> str:
    """What makes the files, as a digest: another release of any part may make other bytes."""
    digest = hashlib.sha256(" ".join(f"{name} {_version(name)}" for name in _MAKERS).encode())
    for package, modules in _OURS.items():
        for file in sorted(files(package).iterdir(), key=lambda each: each.name):
            module, _, ending = file.name.rpartition(".")
            if ending in ("py", "typ") and (modules is None or module in modules):
                digest.update(file.read_bytes())
    return digest.hexdigest()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
