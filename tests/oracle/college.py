"""Real private messages as CloudEvents: the conversion of `../shared/data/collegemsg.txt.gz`.

Owns who is a business, what an event of the file is called and when it happened, and both forms
of the data ('plain' and 'mixed'). Does not own what a fact costs: that is `counting`.
"""

import gzip
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

Form = Literal["plain", "mixed"]
Event = dict[str, Any]

FILE = Path(__file__).resolve().parents[3] / "shared" / "data" / "collegemsg.txt.gz"
SOURCE = "collegemsg"
ZONE = "Asia/Jakarta"
BUSINESSES = 100
FIRST_DAY = date(2026, 4, 15)

LINES = 59_835
FACTS = 50_038


@dataclass(frozen=True, slots=True)
class Line:
    """A message of the file; `number` counts from 1 without the header, `time` is Unix seconds."""

    number: int
    sender: int
    receiver: int
    time: int


def read_lines(file: Path = FILE) -> list[Line]:
    """All messages in the file's order, with the file's own times."""
    with gzip.open(file, "rt") as text:
        next(text)
        rows = (row.split() for row in text)
        return [Line(n, int(a), int(b), int(t)) for n, (a, b, t) in enumerate(rows, 1)]


def find_businesses(lines: list[Line]) -> list[int]:
    """The people who sent most, most first; of equals the smaller id."""
    sent = Counter(line.sender for line in lines)
    return sorted(sent, key=lambda person: (-sent[person], person))[:BUSINESSES]


def tenant_key(business: int) -> str:
    return f"college-{business}"


def number_address(business: int) -> str:
    return f"+62800{business:06d}"


def contact_address(person: int) -> str:
    return f"+62811{person:06d}"


def convert(lines: list[Line], form: Form) -> list[Event]:
    """CloudEvents of all businesses in the file's order."""
    businesses = set(find_businesses(lines))
    shift = _days_to_first_day(lines)
    events = []
    for line in lines:
        time = datetime.fromtimestamp(line.time, UTC) + shift
        if line.sender in businesses:
            events.append(_delivered(line, time, form))
        if line.receiver in businesses:
            events.append(_received(line, time))
    return events


def _days_to_first_day(lines: list[Line]) -> timedelta:
    first = datetime.fromtimestamp(min(line.time for line in lines), UTC).date()
    return FIRST_DAY - first


def _received(line: Line, time: datetime) -> Event:
    return _event(f"{line.number}-in", "message.received", time, line.receiver, line.sender)


def _delivered(line: Line, time: datetime, form: Form) -> Event:
    event = _event(f"{line.number}-out", "message.delivered", time, line.sender, line.receiver)
    category = _category(line.number) if form == "mixed" else "service"
    event["data"]["category"] = category
    if category != "service":
        event["data"]["template"] = f"college_{category}"
    return event


def _category(number: int) -> str:
    if number % 7 == 0:
        return "marketing"
    if number % 5 == 0:
        return "utility"
    if number % 11 == 0:
        return "authentication"
    return "service"


def _event(id_: str, type_: str, time: datetime, business: int, person: int) -> Event:
    return {
        "specversion": "1.0",
        "id": id_,
        "source": SOURCE,
        "type": type_,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "subject": tenant_key(business),
        "data": {
            "channel": "whatsapp",
            "number": number_address(business),
            "contact": contact_address(person),
            "message_id": id_,
        },
    }
