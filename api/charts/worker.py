"""The process that draws: `python -m api.charts.worker`, specifications in, pictures out.

Owns the call of the renderer. It is given specifications on its standard input one after the other,
and ends when that ends; it has no settings, no network and no database. What takes too long for it
ends the process, whoever waits or does not any more.
"""

from __future__ import annotations

import os
import re
import signal
import struct
import sys
from enum import StrEnum
from html import escape
from typing import IO, Final

import msgspec

from api.charts.look import SCALE
from api.documents import fonts

#: Seconds after which a drawing is none: the largest ones take three.
SECONDS_MAX: Final = 20

#: What goes before a specification, its form and length, and before a picture, whether it is one.
HEADER: Final = struct.Struct(">4sI")
DRAWN, FAILED = b"ok  ", b"fail"

#: How well a JPEG keeps edges of letters.
QUALITY: Final = 92

#: Neighbours in a PDF's lists of fonts and the like, which come in any order.
_NAMED: Final = re.compile(rb"(?<=<<\n)(?: {6}/\w+ \d+ 0 R\n){2,}")


class Form(StrEnum):
    """What a chart is drawn as; the value is the ending of its file's name."""

    PNG = "png"
    JPEG = "jpeg"
    SVG = "svg"
    PDF = "pdf"


def picture(spec: str, form: Form) -> bytes:
    """A specification drawn; ValueError where it is none, or names data elsewhere."""
    import vl_convert

    # Every figure is in the specification: there is nowhere to get others from.
    nowhere: list[str] = []
    match form:
        case Form.PNG:
            return vl_convert.vegalite_to_png(spec, scale=SCALE, allowed_base_urls=nowhere)
        case Form.JPEG:
            return vl_convert.vegalite_to_jpeg(
                spec, scale=SCALE, quality=QUALITY, allowed_base_urls=nowhere
            )
        case Form.SVG:
            return _told(vl_convert.vegalite_to_svg(spec, allowed_base_urls=nowhere), spec).encode()
        case Form.PDF:
            return _ordered(vl_convert.vegalite_to_pdf(spec, allowed_base_urls=nowhere))


def _told(svg: str, spec: str) -> str:
    """The same picture with what it shows in words, for whoever has it read aloud."""
    words = escape(msgspec.json.decode(spec)["description"])
    root, _, rest = svg.partition(">")
    return f'{root} role="img"><title>{words}</title>{rest}'


def _ordered(pdf: bytes) -> bytes:
    """The same file with its lists in order: the same chart gives the same bytes."""
    return _NAMED.sub(lambda found: b"".join(sorted(found[0].splitlines(keepends=True))), pdf)


def prepare() -> None:
    """Have the fonts that documents have."""
    import vl_convert

    for path in fonts.paths():
        vl_convert.register_font_directory(str(path.parent))


def main() -> None:
    """Draw what comes until nothing does any more."""
    # Whoever interrupts the server ends its input, too.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(5)  # whoever is served goes first
    # Pictures have the way out for themselves: what a library prints goes with the errors.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    prepare()
    while (asked := read(sys.stdin.buffer)) is not None:
        form, spec = asked
        signal.alarm(SECONDS_MAX)
        try:
            answer = DRAWN, picture(spec.decode(), Form(form.decode().strip()))
        except Exception as error:
            answer = FAILED, str(error).encode()
        signal.alarm(0)
        write(out, *answer)


def read(stream: IO[bytes]) -> tuple[bytes, bytes] | None:
    """What was sent, behind its kind; None where the other end is gone."""
    header = stream.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    kind, size = HEADER.unpack(header)
    body = stream.read(size)
    return (kind, body) if len(body) == size else None


def write(stream: IO[bytes], kind: bytes, body: bytes) -> None:
    """Send something of a kind."""
    stream.write(HEADER.pack(kind, len(body)) + body)
    stream.flush()


if __name__ == "__main__":
    main()
