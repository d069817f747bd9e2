"""Embedding: a printed PDF that says of itself that it has an e-invoice in it (Factur-X 1.0).

Owns the words that programs look for in its metadata, and the update that puts them there: the
file stays as it was printed, with tags and all, and a newer copy of its metadata stands behind it.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

from api.documents.einvoice import FILE_NAME

_NAMESPACE: Final = "urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#"

#: What is said, with what each of it is for archives.
_SAID: Final = (
    ("DocumentType", "INVOICE", "The type of the hybrid document in capital letters"),
    ("DocumentFileName", FILE_NAME, "The name of the embedded XML document"),
    ("Version", "1.0", "The version of the standard applying to the embedded XML document"),
    ("ConformanceLevel", "EN 16931", "The conformance level of the embedded XML document"),
)

_PROPERTIES: Final = "".join(
    '<rdf:li rdf:parseType="Resource"><pdfaProperty:category>external</pdfaProperty:category>'
    f"<pdfaProperty:description>{what}</pdfaProperty:description>"
    f"<pdfaProperty:name>{name}</pdfaProperty:name>"
    "<pdfaProperty:valueType>Text</pdfaProperty:valueType></rdf:li>"
    for name, _, what in _SAID
)
_SCHEMA: Final = (
    '<rdf:li rdf:parseType="Resource">'
    "<pdfaSchema:schema>Factur-X PDFA Extension Schema</pdfaSchema:schema>"
    f"<pdfaSchema:namespaceURI>{_NAMESPACE}</pdfaSchema:namespaceURI>"
    "<pdfaSchema:prefix>fx</pdfaSchema:prefix>"
    f"<pdfaSchema:property><rdf:Seq>{_PROPERTIES}</rdf:Seq></pdfaSchema:property></rdf:li>"
).encode()
_VALUES: Final = (
    f'<rdf:Description rdf:about="" xmlns:fx="{_NAMESPACE}">'
    + "".join(f"<fx:{name}>{value}</fx:{name}>" for name, value, _ in _SAID)
    + "</rdf:Description>"
).encode()

# As this printer writes them; another one is found out by the tests, and here.
_METADATA: Final = re.compile(
    rb"\n(\d+) 0 obj\n<</Length (\d+)/Type/Metadata/Subtype/XML>>\nstream\n"
)
_TRAILER: Final = re.compile(
    rb"trailer\n<</Size (\d+)/Root (\d+ 0 R)/Info (\d+ 0 R)/ID\[\((.+?)\)\((.+?)\)\]>>\n"
    rb"startxref\n(\d+)\n%%EOF\s*\Z",
    re.DOTALL,
)
_SCHEMAS: Final = b"<pdfaExtension:schemas><rdf:Bag>"
_END: Final = b"</rdf:RDF>"


def declared(printed: bytes) -> bytes:
    """The file with what it says of its e-invoice; ValueError for one that is printed otherwise."""
    metadata, trailer = _METADATA.search(printed), _TRAILER.search(printed)
    if metadata is None or trailer is None:
        raise ValueError("the printer writes its files another way: look where metadata stands")
    told = printed[metadata.end() : metadata.end() + int(metadata[2])]
    if told.count(_SCHEMAS) != 1 or told.count(_END) != 1:
        raise ValueError("the printer says something else of its files: look at their metadata")
    told = told.replace(_SCHEMAS, _SCHEMAS + _SCHEMA).replace(_END, _VALUES + _END)
    number, size, root, info, first = metadata[1], *trailer.group(1, 2, 3, 4)
    # Who keeps copies tells them by their second name, which is of the content.
    name = hashlib.blake2b(printed, digest_size=16).hexdigest().encode()
    start = len(printed) + 1
    updated = (
        b"%s 0 obj\n<</Length %d/Type/Metadata/Subtype/XML>>\nstream\n%s\nendstream\nendobj\n"
        % (number, len(told), told)
    )
    table = b"xref\n0 1\n0000000000 65535 f\r\n%s 1\n%010d 00000 n\r\n" % (number, start)
    ending = b"trailer\n<</Size %s/Prev %s/Root %s/Info %s/ID[(%s)(%s)]>>\nstartxref\n%d\n%%%%EOF\n"
    return b"".join(
        (
            printed, b"\n", updated, table,
            ending % (size, trailer[6], root, info, first, name, start + len(updated)),
        )
    )  # fmt: skip
