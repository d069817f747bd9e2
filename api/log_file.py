"""A tenant's log as a file: its lines, and the proof that none is missing or was changed (EV-8).

Owns the format alone. A line is a JSON object and says what it is in `line`; the first is the
header, the last has the checksum of all before it. A fact stands in its line as the CloudEvent it
came as, beside what was made of it when it came. Instants are microseconds since 1970 UTC but for
the event's own `time`; digests are written as hex.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Self, TypeAlias

import msgspec

FORMAT = "kuota log"
VERSION = 1
CHECKSUM_BYTES = 32

#: A fact has 64 KB at most; a book or a plan may be longer than that.
LINE_BYTES_MAX = 1 << 24
GZIP_MAGIC = b"\x1f\x8b"


class LogFileError(Exception):
    """A file is no log that can be imported; says where, and what is wrong."""


class _Line(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="line"
):
    """What all lines share."""


class Header(_Line, frozen=True, kw_only=True, tag="header"):
    """What the file is of; `version` is the format's, `head` the last version of the tenant."""

    format: str
    version: int
    tenant: str
    exported_at: int
    head: int
    digest: str  #: of the tenant's commits, as its head has it
    settled: bool  #: whether its books were those that the log comes to
    counts: dict[str, int]


class Catalogue(_Line, frozen=True, kw_only=True, tag="catalogue"):
    """A version of a book or a plan, or a list of markets, which has none."""

    kind: str  #: book, plan or markets
    key: str
    version: int
    published_at: int
    body: dict[str, Any]


class Tenant(_Line, frozen=True, kw_only=True, tag="tenant"):
    """The tenant as it is at the end of its log; its zones and agreements come by actions."""

    key: str
    name: str
    zones: list[tuple[int | None, str]]
    changes: list[dict[str, Any]]
    currency: str
    country: str
    locale: str
    plan: str
    status: str
    since: int | None
    created_at: int
    balances: list[tuple[str, str, str | None]]  #: key, unit, currency; in the order they came
    sending: dict[str, Any] = {}  #: what it says of sending itself; older logs have none
    hold_key: str = ""  #: signs the ids of its holds; older logs have none


class Number(_Line, frozen=True, kw_only=True, tag="number"):
    channel: str
    address: str
    zones: list[tuple[int | None, str]]
    created_at: int


class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A CloudEvent; its data is kept byte for byte."""

    specversion: str
    id: str
    source: str
    type: str
    time: datetime
    subject: str
    data: msgspec.Raw


class Fact(_Line, frozen=True, kw_only=True, omit_defaults=True, tag="fact"):
    version: int  #: of the commit that kept it
    arrived_at: int
    channel: str  #: with `address`, the tenant's number
    address: str
    party: str
    country: str
    category: str
    fact: Event
    flags: int = 0  #: of the hold it names, as it was judged when it came


class Action(_Line, frozen=True, kw_only=True, tag="action"):
    """What somebody did; lots are named by balance and origin, never by their numbers."""

    version: int
    at: int
    kind: str
    key: str  #: idempotency key
    content: str  #: digest of the request
    subject: str | None
    body: dict[str, Any]


class Conflict(_Line, frozen=True, kw_only=True, tag="conflict"):
    """What came under a known key with other content, and was not taken."""

    source: str
    id: str
    at: int
    arrived_at: int
    content: str
    data: str


class Alert(_Line, frozen=True, kw_only=True, tag="alert"):
    """What was raised, in the order in which it was; `cause_id` is a key of the log or a name."""

    balance: str | None  #: None: it is of no balance
    kind: str
    measure: str
    threshold: int
    remaining: int
    base: int
    at: int
    cause: str
    cause_id: str
    acknowledged_at: int | None


class Hold(_Line, frozen=True, kw_only=True, tag="hold"):
    """What became of a hold, as its row has it."""

    hold: str
    expires_at: int
    lasts_until: int
    shares: int
    share: str
    total: str
    varied: bool
    ended: int
    back: str
    sent: str
    sent_at: int | None
    ended_at: int | None
    ended_by: int | None
    revision: int


class Share(_Line, frozen=True, kw_only=True, tag="share"):
    """What became of one recipient's share of a hold."""

    hold: str
    recipient: str
    share: str | None
    sent_at: int | None
    ended_at: int | None
    ended_by: int | None


class Figure(msgspec.Struct, frozen=True, array_like=True):
    """One figure of a tenant's books: how many rows, their sum in micros, and their digest."""

    rows: int
    amount: int
    digest: int


class Footer(_Line, frozen=True, kw_only=True, tag="footer"):
    lines: int  #: before this one
    figures: dict[str, Figure]
    checksum: str


Line: TypeAlias = (
    Header | Catalogue | Tenant | Number | Fact | Action | Alert | Hold | Share | Conflict | Footer
)

_encode = msgspec.json.Encoder().encode
_decode: Callable[[bytes], Line] = msgspec.json.Decoder(Line).decode

#: The order of a file; facts and actions come together, as they came.
ORDER: dict[type[Line], int] = {
    Header: 0, Catalogue: 1, Tenant: 2, Number: 3, Fact: 4, Action: 4, Alert: 5, Hold: 6,
    Share: 7, Conflict: 8, Footer: 9,
}  # fmt: skip
COUNTED: dict[type[Line], str] = {
    Catalogue: "catalogue", Number: "numbers", Fact: "facts", Action: "actions",
    Alert: "alerts", Hold: "holds", Share: "shares", Conflict: "conflicts",
}  # fmt: skip


class Writer:
    """Writes the lines of a log one after the other."""

    def __init__(self, file: BinaryIO | gzip.GzipFile) -> None:
        self._file = file
        self._sum = hashlib.blake2b(digest_size=CHECKSUM_BYTES)
        self.lines = 0

    def write(self, line: Line) -> None:
        """Write one line."""
        written = _encode(line) + b"\n"
        self._sum.update(written)
        self._file.write(written)
        self.lines += 1

    def end(self, figures: dict[str, Figure]) -> None:
        """Write the last line: what was written is whole."""
        checksum = self._sum.hexdigest()
        self.write(Footer(lines=self.lines, figures=figures, checksum=checksum))


class LogFile:
    """A file that was checked from its first byte to its last."""

    def __init__(self, path: Path, header: Header, footer: Footer, kinds: set[str]) -> None:
        self.path = path
        self.header = header
        self.footer = footer
        self.kinds = kinds  #: of its actions

    @classmethod
    def checked(cls, path: Path) -> Self:
        """Read a file to its end; LogFileError unless it is a whole log in a known format."""
        header: Header | None = None
        footer: Footer | None = None
        counts: Counter[str] = Counter()
        kinds: set[str] = set()
        place, version, lines = 0, 0, 0
        checksum = hashlib.blake2b(digest_size=CHECKSUM_BYTES)
        for raw in _raws(path):
            lines += 1
            where = f"{path}, line {lines}"
            if footer is not None:
                raise LogFileError(f"{where}: more stands behind the last line")
            if header is None:
                line: Line = _header(path, raw)
                header = line if isinstance(line, Header) else None
            else:
                line = _read(raw, where)
                if ORDER[type(line)] < place or isinstance(line, Header):
                    raise LogFileError(
                        f"{where}: a line of that kind ({_name(line)}) does not come so late"
                    )
            if isinstance(line, Fact | Action):
                if line.version < version:
                    raise LogFileError(f"{where}: it came before the line that stands before it")
                version = line.version
            place = ORDER[type(line)]
            if isinstance(line, Action):
                kinds.add(line.kind)
            if isinstance(line, Footer):
                footer = line
                if line.lines != lines - 1 or line.checksum != checksum.hexdigest():
                    raise LogFileError(
                        f"{path}: its lines are not those that were exported (the checksum"
                        " differs); copy it again from where it was exported"
                    )
            elif type(line) in COUNTED:
                counts[COUNTED[type(line)]] += 1
            checksum.update(raw)
        if header is None:
            raise LogFileError(f"{path} is empty")
        if footer is None:
            raise LogFileError(
                f"{path} ends after line {lines} without its last line: it was cut; copy it again"
            )
        if dict(counts) != {name: count for name, count in header.counts.items() if count}:
            raise LogFileError(f"{path}: it has not what its first line says")
        return cls(path, header, footer, kinds)

    @property
    def name(self) -> bytes:
        """What this log and no other is called."""
        return bytes.fromhex(self.footer.checksum)

    def lines(self) -> Iterator[Line]:
        """All lines between the first and the last."""
        for number, raw in enumerate(_raws(self.path), 1):
            line = _read(raw, f"{self.path}, line {number}")
            if not isinstance(line, Header | Footer):
                yield line


class _First(msgspec.Struct, frozen=True):
    """What the first line of any version of the format says."""

    format: str
    version: int


_decode_first = msgspec.json.Decoder(_First).decode


def is_header(raw: bytes) -> bool:
    """Whether a line of some file is the first one of a log, in whatever version."""
    try:
        return _decode_first(raw).format == FORMAT
    except (msgspec.MsgspecError, UnicodeError):
        return False


def _header(path: Path, raw: bytes) -> Line:
    if not is_header(raw):
        raise LogFileError(
            f"{path} does not begin as an exported log does; facts are sent by python -m api replay"
        )
    version = _decode_first(raw).version
    if version != VERSION:
        raise LogFileError(
            f"{path} has version {version} of the format, and version {VERSION} is read here:"
            " import it with the release that exported it"
        )
    return _read(raw, f"{path}, line 1")


def _read(raw: bytes, where: str) -> Line:
    try:
        return _decode(raw)
    except (msgspec.MsgspecError, UnicodeError) as fault:
        raise LogFileError(f"{where} is no line of a log: {fault}") from fault


def _name(line: Line) -> str:
    return type(line).__name__.lower()


def _raws(path: Path) -> Iterator[bytes]:
    """The lines of a file, plain or gzipped, with their ends."""
    number = 0
    try:
        with path.open("rb") as raw_file:
            zipped = raw_file.peek(2)[:2] == GZIP_MAGIC
            file: BinaryIO | gzip.GzipFile = gzip.GzipFile(fileobj=raw_file) if zipped else raw_file
            while raw := file.readline(LINE_BYTES_MAX):
                number += 1
                if not raw.endswith(b"\n"):
                    raise LogFileError(
                        f"{path} ends within line {number}: it was cut; copy it again"
                    )
                yield raw
    except (EOFError, zlib.error, gzip.BadGzipFile) as fault:
        raise LogFileError(
            f"{path} cannot be read after line {number}: {fault}; copy it again"
        ) from fault
    except OSError as fault:
        raise LogFileError(f"{path} cannot be read: {fault.strerror or fault}") from fault
