"""Price books: which row is in force, which market a contact belongs to, and what is refused."""

import copy
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from domain.book_documents import BookError, parse_book
from domain.books import Basis, Book, FreeCount, Row, WindowRule
from domain.documents import Table
from domain.money import picos
from domain.periods import date_number

SAMPLES = Path(__file__).parents[2] / "persistence" / "samples"
HOUR = 3_600_000_000
GONE = object()  # in a table of refusals: the field is taken out


def sample(name: str) -> dict[str, Any]:
    return tomllib.loads((SAMPLES / f"{name}.toml").read_text(encoding="utf-8"))


def sample_book(name: str) -> Book:
    return parse_book(sample(f"book-{name}"), 1, sample("whatsapp-markets"))


def day(text: str) -> int:
    return date_number(date.fromisoformat(text))


IDR = sample_book("omnichannel-idr")
COLLEGE = sample_book("college-small")

MESSAGE, CONVERSATION, VISITOR = Basis.PER_MESSAGE, Basis.PER_CONVERSATION, Basis.PER_VISITOR

# A market's own row before "*", the last date not after the fact's, "n/a" never zero.
IN_FORCE = [
    # basis, category, market, date, row or None, price
    (MESSAGE, "marketing", "ID", "2025-06-30", None, None),
    (MESSAGE, "marketing", "ID", "2025-07-01", "2025-07-01/marketing", "586.33"),
    (MESSAGE, "marketing", "ID", "2030-01-01", "2025-07-01/marketing", "586.33"),
    (MESSAGE, "marketing", "IN", "2026-11-01", None, None),
    (MESSAGE, "marketing", "other", "2026-11-01", None, None),
    (MESSAGE, "marketing", "none", "2026-11-01", None, None),
    (MESSAGE, "authentication", "ID", "2026-11-01", "2025-07-01/authentication", "356.65"),
    (
        MESSAGE,
        "authentication_international",
        "ID",
        "2026-11-01",
        "2025-07-01/authentication-international",
        "1940.13",
    ),
    (MESSAGE, "utility", "ID", "2026-09-30", "2025-07-01/utility", "356.65"),
    (MESSAGE, "utility", "ID", "2026-10-01", "2026-10-01/utility", "356.65"),
    (MESSAGE, "service", "ID", "2026-09-30", "2025-07-01/service", "0"),
    (MESSAGE, "service", "IN", "2026-09-30", "2025-07-01/service", "0"),
    (MESSAGE, "service", "ID", "2026-10-01", "2026-10-01/service", "356.65"),
    (MESSAGE, "service", "IN", "2026-10-01", "2026-10-01/service-elsewhere", "n/a"),
    (MESSAGE, "service", "none", "2026-10-01", "2026-10-01/service-elsewhere", "n/a"),
    (MESSAGE, "coupon", "ID", "2026-11-01", None, None),
    (CONVERSATION, "service", "ID", "2025-06-30", None, None),
    (CONVERSATION, "service", "ID", "2026-09-30", "2025-07-01/conversation", "356.65"),
    (CONVERSATION, "marketing", "IN", "2026-09-30", "2025-07-01/conversation", "356.65"),
    (CONVERSATION, "service", "ID", "2026-10-01", "2026-10-01/conversation", "n/a"),
    (Basis.PER_SEGMENT, "service", "ID", "2026-10-01", None, None),
]


@pytest.mark.parametrize(("basis", "category", "market", "on", "row", "price"), IN_FORCE)
def test_row_in_force(
    basis: Basis, category: str, market: str, on: str, row: str | None, price: str | None
) -> None:
    """PR-2, PR-4, PR-6: by date, then exact market before `*`; no row is None, not free."""
    for _ in range(2):  # the second answer comes from memory
        found = IDR.row(basis, "whatsapp", category, "out", market, day(on))
        if row is None:
            assert found is None
        else:
            assert found is not None
            assert found.rule == f"omnichannel-idr@{row}"
            assert found.price == (None if price in (None, "n/a") else picos(price))


def test_row_of_another_channel_or_direction() -> None:
    """PR-1: a row answers for its channel and direction only, unless it says `*`."""
    on = day("2026-11-01")
    assert IDR.row(MESSAGE, "sms", "service", "out", "ID", on) is None
    assert IDR.row(MESSAGE, "whatsapp", "service", "in", "ID", on) is None
    for channel in ("whatsapp", "livechat", "email"):
        row = IDR.row(VISITOR, channel, "visitor", "in", "none", on)
        assert row is not None
        assert (row.rule, row.price) == ("omnichannel-idr@2025-07-01/visitor", None)


FREE = [
    # book, category, date, windows that make it free, free count per number and month
    (IDR, "marketing", "2026-11-01", {"free_entry"}, None),
    (IDR, "authentication", "2026-11-01", {"free_entry"}, None),
    (IDR, "utility", "2026-09-30", {"customer_service", "free_entry"}, None),
    (IDR, "utility", "2026-10-01", {"free_entry"}, None),
    (IDR, "service", "2026-09-30", set(), None),
    (IDR, "service", "2026-10-01", {"free_entry"}, 1000),
    (COLLEGE, "utility", "2026-04-01", {"customer_service", "free_entry"}, None),
    (COLLEGE, "utility", "2026-06-01", {"free_entry"}, None),
    (COLLEGE, "service", "2026-05-31", set(), None),
    (COLLEGE, "service", "2026-06-01", {"free_entry"}, 10),
]


@pytest.mark.parametrize(("book", "category", "on", "windows", "count"), FREE)
def test_when_a_row_is_free(
    book: Book, category: str, on: str, windows: set[str], count: int | None
) -> None:
    """PR-3, PR-4: what a window frees and the free count are said by the row."""
    row = book.row(MESSAGE, "whatsapp", category, "out", "ID", day(on))
    assert row is not None
    assert row.free_in == windows
    expected = None if count is None else FreeCount(name="service", count=count, per="number")
    assert row.free_count == expected
    assert row.charged_on == "delivered"


def test_one_count_for_all_countries() -> None:
    """PR-4: the row of ID and the row of everybody else share a count."""
    on = day("2026-10-01")
    rows = [IDR.row(MESSAGE, "whatsapp", "service", "out", market, on) for market in ("ID", "IN")]
    assert len({row.free_count for row in rows if row is not None}) == 1
    assert None not in rows


def test_windows_are_the_books() -> None:
    """WI-1, WI-2, CO-1: 24, 24 and 72 hours on the one channel that the sample names."""
    rule = WindowRule(customer_service=24 * HOUR, conversation=24 * HOUR, free_entry=72 * HOUR)
    assert IDR.windows == {"whatsapp": rule}
    assert (IDR.key, IDR.currency, IDR.version) == ("omnichannel-idr", "IDR", 1)


MARKETS = [
    # address, market
    ("6281100010", "ID"),
    ("919812345678", "IN"),
    ("447700900123", "GB"),
    ("12125550100", "north_america"),
    ("14165550100", "north_america"),
    ("1", "north_america"),
    ("18095550100", "rest_of_latin_america"),
    ("18295550100", "rest_of_latin_america"),
    ("18495550100", "rest_of_latin_america"),
    ("18765550100", "rest_of_latin_america"),
    ("16715550100", "rest_of_asia_pacific"),
    ("79161234567", "RU"),
    ("77011234567", "rest_of_asia_pacific"),
    ("76001234567", "rest_of_asia_pacific"),
    ("254712345678", "rest_of_africa"),
    ("380501234567", "rest_of_central_eastern_europe"),
    ("96512345678", "rest_of_middle_east"),
    ("351912345678", "rest_of_western_europe"),
    ("80012345678", "other"),
    ("999", "other"),
    ("someone@example.com", "none"),
    ("62someone", "none"),
    ("", "none"),
]


@pytest.mark.parametrize(("address", "market"), MARKETS)
def test_market_by_longest_prefix(address: str, market: str) -> None:
    """PR-6: longest prefix; +1 809, 829 and 849 are not North America; `other` is on no list."""
    for _ in range(2):
        assert IDR.market("whatsapp", address, day("2026-11-01")) == market
    assert IDR.market("livechat", address, day("2026-11-01")) == "none"


def test_markets_are_dated() -> None:
    """PR-6: a prefix belongs to the market of the last list not after the date."""
    lists = {
        "markets": "cards",
        "channels": ["sms"],
        "lists": [
            {"valid_from": "2026-01-01", "prefixes": {"RU": ["7"], "asia": ["77"]}},
            {"valid_from": "2026-07-01", "prefixes": {"KZ": ["77", "76"], "other": ["7"]}},
        ],
    }
    document = {**sample("book-omnichannel-idr"), "markets": "cards"}
    document["rows"] = [row for row in document["rows"] if row["market"] == "*"]
    book = parse_book(document, 1, lists)
    found = [
        (on, address, book.market("sms", address, day(on)))
        for on in ("2026-07-01", "2025-12-31", "2026-06-30", "2026-07-01")
        for address in ("7701", "7601", "7901")
    ]
    assert [market for _, _, market in found] == [
        *("KZ", "KZ", "other"),
        *("other", "other", "other"),
        *("asia", "RU", "RU"),
        *("KZ", "KZ", "other"),
    ]


def version(published: int, price: str, valid_from: str) -> Book:
    document = sample("book-omnichannel-idr")
    rows = [row for row in document["rows"] if row["row"] == "marketing"]
    document["rows"] = [{**rows[0], "valid_from": valid_from, "price": price}]
    return parse_book(document, published, sample("whatsapp-markets"))


def test_of_equals_the_last_published() -> None:
    """PR-2: of rows with one date the last published is in force; a later date beats both."""
    book = version(1, "1", "2026-01-01")
    for later in (version(2, "2", "2026-01-01"), version(3, "3", "2026-06-01")):
        book = book.with_version(later)
    prices = [
        (row.price, row.published)
        for on in ("2026-01-01", "2026-05-31", "2026-06-01")
        if (row := book.row(MESSAGE, "whatsapp", "marketing", "out", "ID", day(on)))
    ]
    assert prices == [(picos("2"), 2), (picos("2"), 2), (picos("3"), 3)]
    assert (book.version, len(book.rows)) == (3, 3)


def test_a_version_joins_only_its_own_book() -> None:
    with pytest.raises(ValueError, match="no version of omnichannel-idr"):
        IDR.with_version(COLLEGE)
    with pytest.raises(ValueError, match="version 1 of omnichannel-idr is not after 1"):
        IDR.with_version(IDR)


def test_wildcards_give_way() -> None:
    """PR-1: the category's own row before `*`, then the channel's own, then the market's."""
    base = sample("book-omnichannel-idr")["rows"][0]
    names = {
        "ccm": ("whatsapp", "service", "ID"),
        "cc*": ("whatsapp", "service", "*"),
        "*cm": ("*", "service", "ID"),
        "c*m": ("whatsapp", "*", "ID"),
        "***": ("*", "*", "*"),
    }
    rows = [
        {**base, "channel": channel, "category": category, "market": market, "row": f"row{place}"}
        for place, (channel, category, market) in enumerate(names.values())
    ]
    for row in rows:
        del row["free_in"]
    document = sample("book-omnichannel-idr")
    order = list(names)
    for gone in range(len(rows)):
        document["rows"] = rows[gone:]
        book = parse_book(document, 1, sample("whatsapp-markets"))
        found = book.row(MESSAGE, "whatsapp", "service", "out", "ID", day("2026-01-01"))
        assert found is not None
        assert order[int(found.row.removeprefix("row"))] == order[gone]


def test_many_look_ups_do_not_pile_up() -> None:
    """A flood of categories or prefixes that nobody knows is answered, and not remembered."""
    on = day("2026-11-01")
    book = sample_book("omnichannel-idr")
    for number in range(20_000):
        assert book.row(MESSAGE, "whatsapp", f"c{number}", "out", "ID", on) is None
    assert len(book._known) <= 16_384


# Each fault alone: where in the document, what is put there, where the answer points, what it says.
ROW = ("rows", 0)
REFUSALS = [
    (("currency",), "IDRR", "currency", "did you mean 'IDR'?"),
    (("currency",), GONE, "currency", "is missing"),
    (("curency",), "IDR", "curency", "did you mean 'currency'?"),
    (("book",), "Omni Channel", "book", "lower case"),
    (("rows",), [], "rows", "at least one [[rows]]"),
    (("rows",), "none", "rows", "not a list of tables"),
    (("rows", 0), "marketing", "rows[0]", "not a table"),
    ((*ROW, "price"), GONE, "rows[0].price", "no rate is \"n/a\""),
    ((*ROW, "price"), 586.33, "rows[0].price", "no decimal in quotes"),
    ((*ROW, "price"), "-1", "rows[0].price", "has a sign"),
    ((*ROW, "price"), "1,5", "rows[0].price", "is not a number"),
    ((*ROW, "price"), "NaN", "rows[0].price", "is not a number"),
    ((*ROW, "price"), "0.0000000000001", "rows[0].price", "too fine"),
    ((*ROW, "price"), "1" * 13, "rows[0].price", "too large"),
    ((*ROW, "valid_from"), "2026-02-30", "rows[0].valid_from", "no day of the calendar"),
    ((*ROW, "valid_from"), 20260201, "rows[0].valid_from", "is no day"),
    ((*ROW, "direction"), "sent", "rows[0].direction", "known are in, out"),
    ((*ROW, "basis"), "per_mesage", "rows[0].basis", "did you mean 'per_message'?"),
    ((*ROW, "charged_on"), "read", "rows[0].charged_on", "known are delivered, sent"),
    ((*ROW, "market"), "id", "rows[0].market", "on none of the lists"),
    ((*ROW, "market"), "rest_of_latin_amerika", "rows[0].market", "rest_of_latin_america"),
    ((*ROW, "free_in"), ["free_entri"], "rows[0].free_in[0]", "did you mean 'free_entry'?"),
    ((*ROW, "free_in"), ["free_entry"] * 2, "rows[0].free_in[1]", "there twice"),
    ((*ROW, "free_in"), "free_entry", "rows[0].free_in", "not a list"),
    ((*ROW, "chanel"), "whatsapp", "rows[0].chanel", "did you mean 'channel'?"),
    ((*ROW, "channel"), "sms", "rows[0].free_in", "channel 'sms' has no windows"),
    ((*ROW, "basis"), "per_conversation", "rows[0].basis", None),
    ((*ROW, "free_count"), {"name": "a", "count": 0, "per": "number"}, "rows[0].free_count.count",
     "from 1 to"),
    ((*ROW, "free_count"), {"name": "a", "count": True, "per": "number"},
     "rows[0].free_count.count", "from 1 to"),
    ((*ROW, "free_count"), {"name": "a", "count": 5, "per": "month"}, "rows[0].free_count.per",
     "known are number, tenant"),
    ((*ROW, "free_count"), {"name": "a", "count": 5, "per": "number", "every": "month"},
     "rows[0].free_count.every", "not a known field"),
    ((*ROW, "free_count"), 1000, "rows[0].free_count", "not a table"),
    (("rows", 7, "free_count", "count"), 999, "rows[7].free_count", "another size or scope"),
    (("rows", 4, "valid_from"), "2025-07-01", "rows[4]", "says the same as rows[3]"),
    ((*ROW, "row"), "authentication", "rows[1].row", "is rows[0] too"),
    (("windows", "whatsapp", "conversation_hours"), 0, "windows.whatsapp.conversation_hours",
     "from 1 to 8760"),
    (("windows", "whatsapp", "conversation_hours"), GONE, "windows.whatsapp.conversation_hours",
     "is missing"),
    (("windows", "whatsapp", "free_hours"), 72, "windows.whatsapp.free_hours", "free_entry_hours"),
    (("windows", "whatsapp"), 24, "windows.whatsapp", "not a table"),
    (("markets",), "meta-markets", "markets", "'meta-markets' was not given"),
    (("sample",), "yes", "sample", "true or false"),
    (("dated",), GONE, "dated", "is missing"),
]  # fmt: skip


def put(document: dict[str, Any], path: tuple[str | int, ...], value: object) -> None:
    """Put a value somewhere deep in a document, or take a field out."""
    inside: Any = document
    for step in path[:-1]:
        inside = inside[step]
    if value is GONE:
        del inside[path[-1]]
    else:
        inside[path[-1]] = value


@pytest.mark.parametrize(("path", "value", "where", "says"), REFUSALS)
def test_refusals(path: tuple[str | int, ...], value: object, where: str, says: str | None) -> None:
    """A fault is refused by its path, with what is wrong and what would be right."""
    document = sample("book-omnichannel-idr")
    put(document, path, value)
    if says is None:
        put(document, (*path[:-1], "channel"), "sms")
        says = "channel 'sms' has no windows"
    before = copy.deepcopy(document)
    with pytest.raises(BookError) as refused:
        parse_book(document, 1, sample("whatsapp-markets"))
    faults = {fault.path: f"{fault.wrong}; {fault.right}" for fault in refused.value.problems}
    assert says in faults.get(where, ""), str(refused.value)
    assert all(fault.wrong and fault.right for fault in refused.value.problems)
    assert document == before


def test_all_problems_at_once() -> None:
    document = sample("book-omnichannel-idr")
    put(document, ("rows", 0, "price"), "-1")
    put(document, ("rows", 3, "valid_from"), "2026-13-01")
    put(document, ("rows", 5, "market"), "XX")
    put(document, ("currency",), "RUPIAH")
    markets = sample("whatsapp-markets")
    put(markets, ("lists", 0, "prefixes", "ID"), ["+62"])
    with pytest.raises(BookError) as refused:
        parse_book(document, 1, markets)
    assert [fault.path for fault in refused.value.problems] == [
        "currency",
        "whatsapp-markets:lists[0].prefixes.ID",
        "rows[0].price",
        "rows[3].valid_from",
    ]
    message = str(refused.value)
    assert message.startswith("book omnichannel-idr: 4 problems\n  currency: 'RUPIAH'")


MARKET_REFUSALS = [
    (("lists", 0, "prefixes", "IN"), ["62"], "lists[0].prefixes.IN", "belongs to ID too"),
    (("lists", 0, "prefixes", "IN"), ["091"], "lists[0].prefixes.IN", "no calling prefix"),
    (("lists", 0, "prefixes", "IN"), 91, "lists[0].prefixes.IN", "not a list"),
    (("lists", 0, "prefixes", "none"), ["999"], "lists[0].prefixes.none", "is no market"),
    (("lists", 0, "prefixes", "Rest Of"), ["999"], "lists[0].prefixes.Rest Of", "is no market"),
    (("lists", 0, "valid_from"), "soon", "lists[0].valid_from", "no day of the calendar"),
    (("lists", 0, "until"), "2027-01-01", "lists[0].until", "not a known field"),
    (("channels",), ["WhatsApp"], "channels", "is no channel"),
    (("channels",), [], "channels", "not a list with members"),
]


@pytest.mark.parametrize(("path", "value", "where", "says"), MARKET_REFUSALS)
def test_market_refusals(path: tuple[str | int, ...], value: object, where: str, says: str) -> None:
    """PR-6: lists of prefixes are as strict; a prefix belongs to one market of a list."""
    markets = sample("whatsapp-markets")
    put(markets, path, value)
    with pytest.raises(BookError) as refused:
        parse_book(sample("book-omnichannel-idr"), 1, markets)
    faults = {fault.path: f"{fault.wrong}; {fault.right}" for fault in refused.value.problems}
    assert says in faults.get(f"whatsapp-markets:{where}", ""), str(refused.value)


def test_a_book_names_lists_that_must_be_given() -> None:
    with pytest.raises(BookError, match="'whatsapp-markets' was not given"):
        parse_book(sample("book-omnichannel-idr"), 1)


def test_a_book_without_lists_has_no_telephone_markets() -> None:
    """PR-6: contacts without a phone have market `none`; a `*` row still answers for them."""
    document = sample("book-omnichannel-idr")
    del document["markets"]
    document["rows"] = [row for row in document["rows"] if row["market"] == "*"]
    book = parse_book(document, 1)
    assert book.market("whatsapp", "6281100010", day("2026-11-01")) == "none"


def test_dates_may_be_text() -> None:
    """A document that went through JSON reads the same."""
    document = sample("book-omnichannel-idr")
    for row in document["rows"]:
        row["valid_from"] = row["valid_from"].isoformat()
    assert parse_book(document, 1, sample("whatsapp-markets")).rows == IDR.rows


def test_wrong_values_are_cut() -> None:
    table = Table({"price": ["x" * 10_000]})
    table.price("price")
    assert len(str(table.problems[0])) < 200


def rates_of(book: Book) -> set[tuple[str, str, str]]:
    return {
        (row.category, row.market, str(row.price))
        for row in book.rows
        if row.basis is MESSAGE and row.price
    }


def test_the_college_book_has_the_same_rates() -> None:
    """Its dates and its free count differ, its prices do not."""
    assert rates_of(COLLEGE) == rates_of(IDR)
    early = [row for row in COLLEGE.rows if row.valid_from <= day("2026-04-01")]
    assert {row.row for row in early} >= {"utility", "marketing", "service", "conversation"}
    row: Row | None = COLLEGE.row(CONVERSATION, "whatsapp", "*", "out", "ID", day("2026-06-01"))
    assert row is not None
    assert row.price is None
