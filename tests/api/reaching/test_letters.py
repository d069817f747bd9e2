"""What stands in a letter: figures, what to do, receipts, in every language, in both its forms."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser

import asyncpg
import pytest

from domain.letter_words import ADVICE, CAUSES, LABELS, PHRASES, SUBJECTS
from domain.periods import HOUR
from domain.plans import parse_plan
from domain.sentences import OF_NOTICES, Language, Words, needs, say
from domain.watch import AlertCause, AlertKind
from tests.api.reaching.office import PUBLIC_URL, Office, Post, plain, rich
from tests.api.reaching.test_mail import NOON
from tests.conftest import Database
from tests.domain.spine import BOOKS, sample
from tests.scenarios.world import World

SHOP = "shop"
TABLES: list[tuple[str, Words]] = [
    *((f"subject {kind.name}", words) for kind, words in SUBJECTS.items()),
    *((f"advice {kind.name}", words) for kind, words in ADVICE.items()),
    *((f"cause {cause.name}", words) for cause, words in CAUSES.items()),
    *((f"label {name}", words) for name, words in LABELS.items()),
    *((f"phrase {name}", words) for name, words in PHRASES.items()),
]
#: What is the same everywhere.
ALIKE = {"phrase subject"}


@pytest.mark.parametrize(("name", "words"), TABLES, ids=[name for name, _ in TABLES])
def test_everything_is_said_in_every_language(name: str, words: Words) -> None:
    """With the same values, and not left in another language."""
    assert set(words) == OF_NOTICES
    assert len({frozenset(needs(template)) for template in words.values()}) == 1
    told = {say(words, language, **dict.fromkeys(needs(words["en"]), "X")) for language in Language}
    assert "{" not in "".join(told)
    assert len(told) == (1 if name in ALIKE else len(Language))


def test_every_kind_and_cause_has_its_words() -> None:
    assert set(SUBJECTS) == set(AlertKind)
    assert set(CAUSES) == set(AlertCause)


@pytest.fixture
async def post(database: Database, redis_url: str) -> AsyncIterator[Post]:
    """A tenant with 1,000 visitors a month."""
    async with World.open(database.app_url, redis_url) as world, Office.open() as office:
        world.clock.at = NOON
        await world.tenant(SHOP)
        yield Post.of(world, office)


class Reader(HTMLParser):
    """What a mail program shows of HTML, and what it would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            assert name not in ("src", "srcset", "background", "onload", "onclick")
            if name == "href":
                self.links.append(value or "")

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def figures(text: str) -> dict[str, str]:
    """The lines of a letter that have a label."""
    return dict(re.findall(r"^  ([^:]+): (.*)$", text, re.MULTILINE))


async def test_what_an_admin_needs_at_three_in_the_morning(post: Post) -> None:
    """AL-6: what is so, since when, of what, why, and what to do; the headers say who sends it."""
    await post.mailbox(SHOP)
    await post.use(SHOP, 700)
    await post.quiet()
    (letter,) = post.office.read
    assert letter["From"] == "Kuota <billing@kuota.example>"
    assert letter["To"] == "ana@shop.example"
    assert letter["Reply-To"] == "billing@omnichannel.example"
    assert letter["Subject"] == "shop: Monthly unique visitors is running low"
    assert letter["Date"] == "Tue, 10 Nov 2026 05:00:00 +0000"
    assert letter["Auto-Submitted"] == "auto-generated"
    assert letter["Content-Language"] == "en"
    assert re.fullmatch(
        r"<alt_[0-9a-z]{13}\.mbx_[0-9a-z]{13}@kuota\.example>", letter["Message-ID"]
    )
    assert letter["Bcc"] is letter["Cc"] is letter["Disposition-Notification-To"] is None
    text = plain(letter)
    (alert,) = re.findall(r"alt_[0-9a-z]{13}", text)
    assert letter["Message-ID"].startswith(f"<{alert}.")
    assert text.splitlines() == [
        "Monthly unique visitors is running low",
        "",
        "Monthly unique visitors: 30 % left, 300 of 1,000.",
        "Top up at least IDR 300,000.",
        PUBLIC_URL,
        "",
        "  When: 2026-11-10 12:00 (Asia/Jakarta, UTC+07:00)",
        "  Left: 300",
        "  Of: 1,000",
        "  Threshold: 40 %",
        "  Moved by: an adjustment",
        f"  Alert number: {alert}",
        "",
        "-- ",
        "Sent to ana@shop.example, where shop has its alerts mailed. Whoever may change its "
        "billing can remove this address or set its kinds and quiet hours.",
    ]
    shown = Reader(rich(letter))
    assert shown.links == [PUBLIC_URL]
    assert not {"img", "script", "link", "iframe", "style"} & set(shown.tags)
    told = " ".join(" ".join(shown.words).split()).replace("\u00a0", " ")
    for line in (*figures(text).values(), "Monthly unique visitors: 30 % left, 300 of 1,000."):
        assert line in told


@pytest.mark.parametrize(
    ("locale", "subject", "lines"),
    [
        ("id", "shop: Monthly unique visitors habis",
         ["Isi ulang minimal Rp 300.000.", "  Tersisa: 0", "  Penyebab: penyesuaian"]),
        ("es-CO", "shop: Monthly unique visitors: agotado",
         ["Recargue al menos IDR 300.000.", "  Queda: 0", "  Motivo: un ajuste"]),
    ],
)  # fmt: skip
async def test_it_is_written_in_the_mailboxs_language(
    post: Post, locale: str, subject: str, lines: list[str]
) -> None:
    await post.mailbox(SHOP, locale=locale, kinds=(AlertKind.EXHAUSTED,))
    await post.use(SHOP, 1_000)
    await post.quiet()
    (letter,) = post.office.read
    assert letter["Subject"] == subject
    assert letter["Content-Language"] == locale
    text = plain(letter).splitlines()
    for line in lines:
        assert line in text, text


async def test_a_refill_that_was_paid_has_its_receipt(post: Post) -> None:
    """RF-3, IN-6: number, net, tax and total; nothing is said of topping up by hand."""
    await post.mailbox(SHOP, kinds=(AlertKind.REFILL_STARTED, AlertKind.REFILL_SUCCEEDED))
    await post.till.method(SHOP, "succeeds")
    await post.till.policy(SHOP, "visitors", 20, 500)
    await post.use(SHOP, 980)
    await post.quiet()
    (letter,) = post.office.read
    started, text = plain(letter).split("Monthly unique visitors was refilled\n")
    (number,) = await post.till.receipts(SHOP)
    found = figures(text)
    assert {name: found[name] for name in ("Added", "Receipt", "Net", "Tax", "Total")} == {
        "Added": "500", "Receipt": number, "Net": "IDR 300,000", "Tax": "IDR 33,000",
        "Total": "IDR 333,000",
    }  # fmt: skip
    assert (found["Left"], found["Refilled at"]) == ("520", "20")
    assert "Top up" not in text
    assert "is being refilled" in started
    assert "Receipt" not in figures(started)


async def test_a_refill_that_failed_says_why_and_what_to_do(post: Post) -> None:
    await post.mailbox(SHOP, kinds=(AlertKind.REFILL_FAILED, AlertKind.REFILL_OFF))
    await post.till.method(SHOP, "declines")
    await post.till.policy(SHOP, "visitors", 20, 500)
    await post.use(SHOP, 990)
    for hours in (0, 1, 4, 24):
        post.world.clock.at += hours * HOUR
        await post.quiet()
    (letter,) = post.office.read
    assert letter["Subject"] == "shop: Monthly unique visitors is not refilled any more, and 1 more"
    text = plain(letter)
    assert text.startswith("2 things happened, the first one first.\n")
    assert figures(text)["Total"] == "IDR 333,000"
    ((_, payments),) = await post.till.purchases(SHOP)
    assert payments[-1].reason
    assert figures(text)["Why"] == payments[-1].reason
    assert "Check the payment method, then set the refill policy again" in text
    assert "Top up at least IDR 300,000." in text


async def test_whoever_cannot_top_up_is_told_whom_to_ask(post: Post) -> None:
    await post.world.tenant("college", plan="college-small")
    await post.mailbox("college")
    await post.use("college", 20)
    await post.quiet()
    (letter,) = post.office.read
    text = plain(letter)
    assert "To top up, ask billing@college.example." in text
    assert letter["Reply-To"] == "billing@college.example"
    assert PUBLIC_URL not in text


async def test_nothing_in_a_name_is_anything_but_a_name(post: Post, database: Database) -> None:
    """No tag, no link, no header: whatever a tenant is called."""
    name = '<script>alert(1)</script> & "Søn\'s" https://evil.example ' + "x" * 200
    owner = await asyncpg.connect(database.owner_url)
    await owner.execute("update tenants set name = $1", f"{name}\r\nBcc: eve@evil.example")
    await owner.close()
    named = sample("plan-omnichannel-idr")
    for each in named["balances"]:
        each["name"] = f"<b>{each['balance']}</b>"
    plans = post.world.catalogue.plans
    plans["omnichannel-idr"] = parse_plan(named, BOOKS["omnichannel-idr"])
    await post.mailbox(SHOP)
    await post.use(SHOP, 700)
    await post.quiet()
    (letter,) = post.office.read
    assert post.office.to == [["ana@shop.example"]]
    assert letter["Bcc"] is None
    assert str(letter["Subject"]).startswith('<script>alert(1)</script> & "Søn\'s"')
    shown = Reader(rich(letter))
    assert not {"script", "b"} & set(shown.tags)
    assert "".join(shown.words).count("<b>visitors</b>") == 2
    assert shown.links == [PUBLIC_URL]
    assert "<script>alert(1)</script>" in "".join(shown.words)
    raw = post.office.letters[0]
    assert raw.isascii()
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998
