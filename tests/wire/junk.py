"""Events that are wrong, by class: what is wrong, how, and how each must be refused.

The words of a reason are those of `running.md`. Knows nothing of how an event is sent.
"""

from __future__ import annotations

from tests.wire.spelling import CONTACT, GONE, Change, Text

#: What is wrong, how an event gets it, and the reason and path of the refusal.
Row = tuple[str, Change, str, str]

DELIVERED = {"type": "message.delivered"}
CALL = {
    "type": "call.ended", "data.channel": "voice", "data.number": "+62211234567",
    "data.direction": "in", "data.seconds": 60,
}  # fmt: skip
MAIL = {
    "type": "email.sent", "data.channel": "email", "data.number": "box@example.com",
    "data.contact": "ana@example.com",
}  # fmt: skip
USAGE = {
    "type": "usage.recorded", "data.channel": "bot", "data.number": "bot-1",
    "data.contact": GONE, "data.meter": "calls", "data.quantity": "1",
}  # fmt: skip
MEGABYTE = "x" * 1_000_000
TEN_KB = "x" * 10_240
DEEP = Text("[" * 10_000 + "]" * 10_000)
ENDLESS = Text("1e9999")

ATTRIBUTES: list[Row] = [
    ("no id", {"id": GONE}, "missing_field", "id"),
    ("no source", {"source": GONE}, "missing_field", "source"),
    ("no type", {"type": GONE}, "missing_field", "type"),
    ("null as id", {"id": None}, "invalid_field", "id"),
    ("empty id", {"id": ""}, "invalid_field", "id"),
    ("empty source", {"source": ""}, "invalid_field", "source"),
    ("number as id", {"id": 7}, "invalid_field", "id"),
    ("list as source", {"source": ["wire"]}, "invalid_field", "source"),
    ("object as type", {"type": {}}, "invalid_field", "type"),
    ("number as time", {"time": 1_793_000_000}, "invalid_field", "time"),
    ("boolean as subject", {"subject": True}, "invalid_field", "subject"),
    ("number as specversion", {"specversion": 1.0}, "invalid_field", "specversion"),
    ("specversion 2.0", {"specversion": "2.0"}, "invalid_field", "specversion"),
    ("specversion 0.3", {"specversion": "0.3"}, "invalid_field", "specversion"),
    ("id of 10 KB", {"id": TEN_KB}, "too_large", "id"),
    ("source of 10 KB", {"source": TEN_KB}, "too_large", "source"),
    ("subject of 10 KB", {"subject": TEN_KB}, "unknown_tenant", "subject"),
    ("NUL in the id", {"id": "a\0b"}, "invalid_field", "id"),
    ("NUL in the source", {"source": "\0"}, "invalid_field", "source"),
    ("NUL in the subject", {"subject": "one\0"}, "unknown_tenant", "subject"),
    ("escape in the id", {"id": "\x1b[2J"}, "invalid_field", "id"),
    ("separator in the id", {"id": "a\x1eb\x1d"}, "invalid_field", "id"),
    ("DEL in the subject", {"subject": "one\x7f"}, "unknown_tenant", "subject"),
    ("id twice", {"*": '"id":"other"'}, "invalid_field", "id"),
    ("time twice", {"*": '"time":"2026-11-06T00:00:00Z"'}, "invalid_field", "time"),
    ("data twice", {"*": '"data":{}'}, "invalid_field", "data"),
    ("unknown type", {"type": "message.sung"}, "unknown_type", "type"),
    ("type of another case", {"type": "Message.Received"}, "unknown_type", "type"),
    ("empty type", {"type": ""}, "unknown_type", "type"),
    ("type of 10 KB", {"type": TEN_KB}, "unknown_type", "type"),
    ("NUL as type", {"type": "\0"}, "unknown_type", "type"),
    ("unknown tenant", {"subject": "nobody"}, "unknown_tenant", "subject"),
    ("tenant in another case", {"subject": "One"}, "unknown_tenant", "subject"),
    ("quoted tenant", {"subject": "one' or '1'='1"}, "unknown_tenant", "subject"),
    ("no tenant for an operator", {"subject": GONE}, "missing_field", "subject"),
    ("empty tenant for an operator", {"subject": ""}, "missing_field", "subject"),
]

DATA: list[Row] = [
    ("no data", {"data": GONE}, "missing_field", "data"),
    ("null as data", {"data": None}, "missing_field", "data"),
    ("data as base64", {"data": GONE, "data_base64": "e30="}, "missing_field", "data"),
    ("list as data", {"data": []}, "invalid_field", "data"),
    ("text as data", {"data": "x"}, "invalid_field", "data"),
    ("number as data", {"data": 7}, "invalid_field", "data"),
    ("boolean as data", {"data": False}, "invalid_field", "data"),
    ("empty data", {"data": {}}, "missing_field", "data.number"),
    ("a field twice", {"data.x": Text('1,"x":2')}, "invalid_field", "data"),
    (
        "a field twice behind escaped quotes",
        {"data.x": Text('1,"x":2'), "data.y": Text('"\\u0022\\u0022"')},
        "invalid_field",
        "data",
    ),
    ("a field twice, deep", {"data.x": Text('[{"y":1,"y":1}]')}, "invalid_field", "data"),
    ("65 levels", {"data.x": Text("[" * 64 + "]" * 64)}, "too_large", "data"),
    ("many digits", {"data.x": Text("9" * 5_000)}, "number_out_of_range", "data"),
    ("many decimals", {"data.x": Text("0." + "9" * 5_000)}, "number_out_of_range", "data"),
    ("endless exponent", {"data.x": Text("1e99999999999999999999")}, "number_out_of_range", "data"),
    ("no number", {"data.number": GONE}, "missing_field", "data.number"),
    ("null as number", {"data.number": None}, "missing_field", "data.number"),
    ("digits as number", {"data.number": 62800000001}, "invalid_field", "data.number"),
    ("unknown number", {"data.number": "+62800000009"}, "unknown_number", "data.number"),
    ("another tenant's", {"data.number": "+62800000002"}, "unknown_number", "data.number"),
    ("no number at all", {"data.number": "x"}, "unknown_number", "data.number"),
    ("empty number", {"data.number": ""}, "unknown_number", "data.number"),
    ("NUL as number", {"data.number": "\0"}, "unknown_number", "data.number"),
    ("number of 10 KB", {"data.number": TEN_KB}, "unknown_number", "data.number"),
    ("unknown channel", {"data.channel": "fax"}, "invalid_field", "data.channel"),
    ("channel in another case", {"data.channel": "WhatsApp"}, "invalid_field", "data.channel"),
    ("list as channel", {"data.channel": ["whatsapp"]}, "invalid_field", "data.channel"),
    ("channel mismatch", {"data.channel": "sms"}, "channel_mismatch", "data.channel"),
    ("mismatch", {"data.number": "12345"}, "channel_mismatch", "data.channel"),
    ("wrong direction", {"data.direction": "out"}, "invalid_field", "data.direction"),
    ("no direction", {**CALL, "data.direction": GONE}, "missing_field", "data.direction"),
    ("up", {**CALL, "data.direction": "up"}, "invalid_field", "data.direction"),
    ("unknown entry", {"data.entry": "door"}, "invalid_field", "data.entry"),
    ("object as category", {**DELIVERED, "data.category": {}}, "invalid_field", "data.category"),
    ("NUL in the category", {"data.category": "\0"}, "invalid_field", "data.category"),
    ("NUL in the user", {"data.user": "a\0"}, "invalid_field", "data.user"),
    ("separator in the broadcast", {"data.broadcast": "\x1e"}, "invalid_field", "data.broadcast"),
    ("message id of 10 KB", {"data.message_id": TEN_KB}, "too_large", "data.message_id"),
    ("number as message id", {"data.message_id": 7}, "invalid_field", "data.message_id"),
    ("text as group", {"data.group": "g"}, "invalid_field", "data.group"),
    ("group without id", {"data.group": {"members": []}}, "invalid_field", "data.group"),
    ("NUL as group", {"data.group": {"id": "\0"}}, "invalid_field", "data.group.id"),
    ("text as members", {"data.group": {"id": "g", "members": "x"}}, "invalid_field",
     "data.group.members"),
    ("a member without code", {"data.group": {"id": "g", "members": [CONTACT, "0811"]}},
     "invalid_contact", "data.group.members[1]"),
    ("template as service", {**DELIVERED, "data.template": "t", "data.category": "service"},
     "invalid_field", "data.category"),
    ("free text as marketing", {**DELIVERED, "data.category": "marketing"}, "invalid_field",
     "data.template"),
    ("text as answered", {**CALL, "data.answered": "yes"}, "invalid_field", "data.answered"),
    ("user of 101 characters", {"data.user": "x" * 101}, "too_large", "data.user"),
    ("category of 101", {**DELIVERED, "data.category": "x" * 101}, "too_large", "data.category"),
    ("no meter", {**USAGE, "data.meter": GONE}, "missing_field", "data.meter"),
]  # fmt: skip

ODD_CONTACTS: list[object] = [
    6281100010001, ["+6281100010001"], {}, True, "", " ", "+", "abc", "ana@example.com",
    "081100010001", "+081100010001", "006281100010001", "81100010001x", "+62 0811 0001 0001",
    "+62", "+6281", "+628110001000100000", "9" * 40, "+99912345678", "+62811\0001000",
    "+6281\x1e1000", "６２８１１０００１０００１", "+62811-abcd", TEN_KB, "+62811,0001,0001",
    "+62811000100\u200b01", "\u0666\u0662\u0668\u0661\u0661",
]  # fmt: skip

CONTACTS: list[Row] = [
    ("none", {"data.contact": GONE}, "missing_field", "data.contact"),
    ("null", {"data.contact": None}, "missing_field", "data.contact"),
    *(
        (str(contact), {"data.contact": contact}, "invalid_contact", "data.contact")
        for contact in ODD_CONTACTS
    ),
    ("no phone for a call", {**CALL, "data.contact": "ana@example.com"}, "invalid_contact",
     "data.contact"),
    ("no address", {**MAIL, "data.contact": "ana"}, "invalid_contact", "data.contact"),
    ("two addresses", {**MAIL, "data.contact": "a@b.co,c@d.co"}, "invalid_contact", "data.contact"),
    ("address with NUL", {**MAIL, "data.contact": "a\0@b.co"}, "invalid_contact", "data.contact"),
]  # fmt: skip

TIMES: list[Row] = [
    ("missing", {"time": GONE}, "missing_field", "time"),
    ("null", {"time": None}, "missing_field", "time"),
    *(
        (time, {"time": time}, reason, "time")
        for reason, times in {
            "time_without_offset": [
                "2026-11-05T09:00:00", "2026-11-05 09:00:00", "2026-11-05T09:00:00.123456789",
            ],
            "time_ahead": [
                "2026-11-10T01:00:00Z", "2026-11-10T08:00:00+07:00", "2027-01-01T00:00:00Z",
                "9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999999999-14:00",
            ],
            "time_out_of_range": [
                "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "1969-12-31T23:59:59.999999Z",
                "1970-01-01T00:00:00+07:00",
            ],
            "before_since": ["1999-12-31T23:59:59.999999999Z", "1970-01-01T00:00:00Z"],
            "invalid_field": [
                "", "now", "2026-11-05", "09:00:00Z", "2026-02-30T00:00:00Z", "1793000000",
                "2026-11-05T24:00:00Z", "2026-11-05T09:00:60Z", "2026-13-01T00:00:00Z",
                "2026-11-05T09:00:00+24:00", "0000-01-01T00:00:00Z", "2026-11-05T09:00:00Z\0",
                "05/11/2026 09:00", "2026-W45-4T09:00:00Z", "20261105T090000Z", "1" * 10_240,
                "٢٠٢٦-11-05T09:00:00Z",
            ],
        }.items()
        for time in times
    ),
]  # fmt: skip

#: By the field of data they stand in: an event, and by reason the values it may not have there.
ODD_NUMBERS: list[tuple[str, Change, dict[str, list[object]]]] = [
    ("seconds", CALL, {
        "number_out_of_range": [-1, Text("-0.5"), 31_536_001, 10**30, ENDLESS, Text("-1e9999")],
        "invalid_field": ["60", True, [], {}, "NaN", ""],
        "missing_field": [GONE, None],
    }),
    ("segments", DELIVERED, {
        "number_out_of_range": [-1, 1_001, 10**30, ENDLESS],
        "invalid_field": ["2", 1.5, True, []],
    }),
    ("quantity", MAIL, {
        "number_out_of_range": [
            -1, Text("-0.000001"), 10**12, 10**30, ENDLESS, Text("0.0000001"), Text("1e-9999"),
            "-1", "1000000000000", "0.0000001", Text("1e13"),
        ],
        "invalid_field": ["", "NaN", "Infinity", "1e3", "1,5", " 1", "١", True, [], {}, "0x1"],
    }),
    ("quantity", USAGE, {"missing_field": [GONE, None]}),
]  # fmt: skip

NUMBERS: list[Row] = [
    (f"{field} {value}", {**base, f"data.{field}": value}, reason, f"data.{field}")
    for field, base, reasons in ODD_NUMBERS
    for reason, values in reasons.items()
    for value in values
]

TABLES: dict[str, list[Row]] = {
    "attributes": ATTRIBUTES,
    "data": DATA,
    "contacts": CONTACTS,
    "times": TIMES,
    "numbers": NUMBERS,
}

#: Not JSON by the letter, but their ends can be found: alone in the body they are a fault of it.
NOT_JSON: list[tuple[str, Change]] = [
    ("NaN", {"data.x": Text("NaN")}),
    ("NaN as seconds", {**CALL, "data.seconds": Text("NaN")}),
    ("Infinity", {"data.x": Text("-Infinity")}),
    ("lone surrogate", {"data.x": Text(r'"\ud800"')}),
    ("lone surrogate as id", {"id": Text(r'"\udfff"')}),
    ("lone surrogate as a name", {"data": Text(r'{"\ud800":1}')}),
    ("bare NUL", {"data.x": Text('"\0"')}),
    ("bare line end in a name", {"*": '"\t":1'}),
]

#: Larger than an event may be, or too deep to be read to its end.
HUGE: list[tuple[str, Change]] = [
    ("65 KB of data", {"data.x": "x" * 65_536}),
    ("a megabyte of data", {"data.x": MEGABYTE}),
    ("a megabyte as contact", {"data.contact": MEGABYTE}),
    ("10,000 levels of data", {"data.x": DEEP}),
    ("10,000 levels beside it", {"x": DEEP}),
    ("10,000 levels as data", {"data": DEEP}),
    ("10,000 objects", {"data.x": Text('{"a":' * 10_000 + "0" + "}" * 10_000)}),
]
