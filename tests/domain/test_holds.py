"""Holds: their ids, and how their shares end."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.facts import Flag
from domain.holds import (
    HOLD_ID_BYTES,
    NUMBER_BYTES,
    RECIPIENT_BYTES,
    End,
    Hold,
    Kept,
    Share,
    Vector,
    number_of,
    read,
    read_vector,
    recipient_of,
    spelt,
    times,
    vector,
    vector_text,
)
from domain.periods import DAY, MINUTE

KEY = bytes(range(32))
NOON = 1_794_312_000_000_000  # 10 November 2026
UNIT = 1_000_000
MONEY, UNITS = "left:whatsapp", "left:conversations"
PRICE = 356_650_000
KINDS = frozenset({UNITS})


def hold(shares: int = 1, *share: tuple[str, int], total: Vector | None = None) -> Hold:
    own = vector(dict(share or ((MONEY, PRICE),)))
    return Hold(
        number=number_of("k"), granted_at=NOON, expires_at=NOON + 10 * MINUTE,
        lasts_until=NOON + DAY, shares=shares, share=own,
        total=times(own, shares) if total is None else total, varied=total is not None,
    )  # fmt: skip


fields = st.text("abcxyz0189_-.:", min_size=1, max_size=40).map("left:".__add__)
vectors = st.dictionaries(fields, st.integers(1, 1 << 62), max_size=4).map(vector)


@st.composite
def holds(draw: st.DrawFn) -> Hold:
    granted_at = draw(st.integers(0, 1 << 52))
    shares, share = draw(st.integers(1, 100_000)), draw(vectors)
    varied = draw(st.booleans())
    return Hold(
        number=draw(st.binary(min_size=NUMBER_BYTES, max_size=NUMBER_BYTES)),
        granted_at=granted_at,
        expires_at=granted_at + draw(st.integers(0, DAY)),
        lasts_until=granted_at + draw(st.integers(0, 7 * DAY)),
        shares=shares,
        share=share,
        total=draw(vectors) if varied else times(share, shares),
        varied=varied,
    )


@given(holds(), st.binary(min_size=1, max_size=32))
def test_an_id_says_all_of_a_hold(of: Hold, key: bytes) -> None:
    """OC-3: what was granted is read out of the id, without any row; by no other tenant."""
    text = spelt(of, key)
    assert read(text, key) == of
    assert len(of.hold_id) == HOLD_ID_BYTES
    assert read(text, key[:-1] or b"another") is None


@given(holds(), st.data())
def test_an_altered_id_is_nobodys(of: Hold, data: st.DataObject) -> None:
    """OC-4: one character more, less or another, and the id is unknown."""
    text = spelt(of, KEY)
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters().filter(lambda one: one != text[place]))
    assert read(text[:place] + other + text[place + 1 :], KEY) is None
    assert read(text[:place] + text[place + 1 :], KEY) is None
    assert read(text[:place] + other + text[place:], KEY) is None


@given(st.text(max_size=300))
def test_whatever_stands_there_is_read_without_a_fault(text: str) -> None:
    for written in (text, "hld_" + text):
        assert read(written, KEY) is None


def test_without_a_key_there_are_no_ids() -> None:
    of = hold()
    with pytest.raises(ValueError, match="there is none"):
        spelt(of, b"")
    assert read(spelt(of, KEY), b"") is None
    with pytest.raises(ValueError, match="their sum"):
        spelt(of._replace(total=()), KEY)
    for wrong in (of._replace(granted_at=-1), of._replace(expires_at=0)):
        with pytest.raises((ValueError, OverflowError, struct.error)):
            spelt(wrong, KEY)


def test_an_id_is_short() -> None:
    """An event's `data.hold` has at most 256 characters."""
    of = hold(
        1, ("left:conversations", UNIT), ("left:whatsapp", PRICE), ("count:service:1:24323", 1)
    )
    assert len(spelt(of, KEY)) < 160


def test_a_number_and_a_recipient_are_digests() -> None:
    assert len(number_of("k")) == NUMBER_BYTES
    assert len(recipient_of("62811")) == RECIPIENT_BYTES
    assert number_of("k") != number_of("K")


@given(vectors)
def test_a_vector_is_stored_as_text(of: Vector) -> None:
    assert read_vector(vector_text(of)) == of


def test_a_vector_has_what_is_there() -> None:
    assert vector({"b": 1, "a": 2, "c": 0}) == (("a", 2), ("b", 1))
    assert vector_text(((MONEY, PRICE),)) == '[["left:whatsapp",356650000]]'


A, B, C = (recipient_of(name) for name in "abc")


#: What a message cost that had 356.65 of money and a conversation set aside, and the flags of it.
OVER = [
    ({}, 0),
    ({MONEY: PRICE}, 0),
    ({MONEY: PRICE + 1}, Flag.OVER_HOLD),
    ({UNITS: UNIT}, 0),
    ({UNITS: UNIT, MONEY: PRICE}, 0),
    ({UNITS: 2 * UNIT}, 0),  # the second in the place of money, which stayed
    ({UNITS: 2 * UNIT, MONEY: PRICE - 1}, 0),
    ({UNITS: 2 * UNIT, MONEY: PRICE}, Flag.OVER_HOLD),
    ({UNITS: 2 * UNIT, MONEY: PRICE + 1}, Flag.OVER_HOLD),
    ({"left:other": 1}, Flag.OVER_HOLD),
]


@pytest.mark.parametrize(("drawn", "flags"), OVER)
def test_what_is_above_the_share(drawn: dict[str, int], flags: int) -> None:
    """OC-3: a charge above its share is unauthorised use."""
    kept = Kept(hold(1, (UNITS, UNIT), (MONEY, PRICE)))
    assert kept.capture(A, NOON, NOON, drawn, KINDS) == flags
    assert kept.open_() == ((), ())


def test_units_above_a_share_of_units_alone() -> None:
    kept = Kept(hold(1, (UNITS, UNIT)))
    assert kept.capture(A, NOON, NOON, {UNITS: 2 * UNIT}, KINDS) == Flag.OVER_HOLD


def test_a_share_of_nothing_is_enough_for_what_is_free() -> None:
    """OC-8: a free send may be held as well."""
    free = hold()._replace(share=(), total=())
    assert Kept(free).capture(A, NOON, NOON, {}, KINDS) == Flag.NONE
    assert Kept(free).capture(A, NOON, NOON, {MONEY: 1}, KINDS) == Flag.OVER_HOLD


#: When the message was sent, when it was delivered, and what that is flagged with.
TIMES = [
    (None, 0, 0),
    (None, 10 * MINUTE - 1, 0),
    (None, 10 * MINUTE, Flag.LATE_COMMIT),
    (0, 10 * MINUTE, 0),
    (10 * MINUTE - 1, DAY - 1, 0),
    (10 * MINUTE - 1, DAY, Flag.LATE_COMMIT),
    (10 * MINUTE, 10 * MINUTE, Flag.LATE_COMMIT),
]


@pytest.mark.parametrize(("sent", "at", "flags"), TIMES)
@pytest.mark.parametrize("shares", [1, 3])
def test_when_it_is_late(sent: int | None, at: int, flags: int, shares: int) -> None:
    """OC-3, OC-4: an expiry is outside; what was sent in time lasts for a day."""
    kept = Kept(hold(shares))
    if sent is not None:
        kept.send(A, NOON + sent)
    assert kept.capture(A, NOON + at, NOON + at, {MONEY: PRICE}, KINDS) == flags


def test_what_was_sent_is_set_aside_for_longer() -> None:
    """OC-3: of three, one is sent; what is not sent expires before it."""
    kept = Kept(hold(3))
    kept.send(A, NOON)
    assert kept.open_() == (((MONEY, 3 * PRICE),), ((MONEY, PRICE),))
    kept.send(A, NOON)
    kept.fail(B, NOON)
    assert kept.open_() == (((MONEY, 2 * PRICE),), ((MONEY, PRICE),))
    kept.capture(A, NOON, NOON, {MONEY: PRICE}, KINDS)
    assert kept.open_() == (((MONEY, PRICE),), ())
    assert (kept.ended, kept.ended_at, kept.revision) == (2, None, 1)


def test_one_recipient_needs_no_name() -> None:
    """A hold for one has its share in its row, whoever was reached."""
    kept = Kept(hold())
    kept.send(A, NOON)
    assert kept.capture(B, NOON + DAY - 1, NOON, {MONEY: PRICE}, KINDS) == Flag.NONE
    assert set(kept.shares) == {Kept.ONE}
    assert (kept.ended_at, kept.ended_by) == (NOON, End.CAPTURED)


def test_failed_and_then_delivered() -> None:
    """EV-5, OC-3: ends are final; what comes after one has no share."""
    kept = Kept(hold())
    kept.fail(A, NOON)
    assert (kept.ended_by, kept.open_()) == (End.FAILED, ((), ()))
    assert kept.capture(A, NOON, NOON, {MONEY: 1}, KINDS) == Flag.OVER_HOLD
    assert kept.capture(A, NOON, NOON, {}, KINDS) == Flag.NONE
    assert kept.ended_by is End.FAILED


def test_delivered_and_then_failed() -> None:
    """EV-5: `failed` after the charge changes nothing."""
    kept = Kept(hold(2))
    kept.capture(A, NOON, NOON, {MONEY: PRICE}, KINDS)
    kept.changed, before = False, (kept.ended, dict(kept.back), kept.revision)
    kept.fail(A, NOON)
    assert (kept.ended, kept.back, kept.revision, kept.changed) == (*before, False)


def test_a_released_hold_has_nothing_left() -> None:
    """OC-3: all that was set aside goes back at once, and only once."""
    kept = Kept(hold(3))
    kept.capture(A, NOON, NOON, {MONEY: PRICE}, KINDS)
    assert kept.release(NOON + 1)
    assert not kept.release(NOON + 2)
    assert (kept.ended_at, kept.ended_by, kept.back) == (NOON + 1, End.RELEASED, {MONEY: 3 * PRICE})
    assert kept.capture(B, NOON, NOON, {MONEY: PRICE}, KINDS) == Flag.OVER_HOLD
    kept.send(C, NOON)
    assert kept.open_() == ((), ())
    assert kept.ended == 1


def test_shares_of_their_own() -> None:
    """OC-5: recipients of other markets have other shares, which stand beside the id."""
    of = hold(3, (MONEY, 5), total=((MONEY, 5 + 7 + 1),))
    kept = Kept(of, shares={B: Share(((MONEY, 7),)), C: Share(((MONEY, 1),))})
    assert kept.capture(B, NOON, NOON, {MONEY: 7}, KINDS) == Flag.NONE
    assert kept.capture(C, NOON, NOON, {MONEY: 2}, KINDS) == Flag.OVER_HOLD
    assert kept.open_() == (((MONEY, 5),), ())
    assert kept.capture(A, NOON, NOON, {MONEY: 5}, KINDS) == Flag.NONE
    assert kept.ended_by is End.CAPTURED


def test_who_was_not_named_takes_a_share() -> None:
    """OC-3: more were reached than it is for; who comes last has none left."""
    kept = Kept(hold(2))
    flags = [kept.capture(each, NOON, NOON, {MONEY: PRICE}, KINDS) for each in (A, B, C)]
    assert flags == [0, 0, Flag.OVER_HOLD]


STEPS: list[Callable[[Kept, bytes, int], object]] = [
    lambda kept, who, at: kept.capture(who, at, at, {MONEY: PRICE}, KINDS),
    lambda kept, who, at: kept.fail(who, at),
    lambda kept, who, at: kept.fail(who, at, End.RELEASED),
    lambda kept, who, at: kept.send(who, at),
]


@given(
    st.integers(0, 1 << 30),
    st.integers(1, 6),
    st.dictionaries(st.integers(0, 7), vectors, max_size=6),
    vectors,
    vectors,
    st.booleans(),
)
def test_a_share_ends_once_in_whatever_order(
    seed: int, shares: int, own: dict[int, Vector], share: Vector, total: Vector, varied: bool
) -> None:
    """OC-3: what went back and what is open are the total, always; and ends are final."""
    chance = random.Random(seed)
    of = Hold(
        number_of("k"), NOON, NOON + 10 * MINUTE, NOON + DAY, shares, share,
        total if varied else times(share, shares), varied,
    )  # fmt: skip
    rows = {bytes([n]): Share(each) for n, each in own.items()} if varied else {}
    kept, ended_by = Kept(of, shares=rows), None
    ends: dict[bytes, End] = {}
    for _ in range(25):
        back, revision = dict(kept.back), kept.revision
        kept.changed = False
        if chance.random() < 0.03:
            kept.release(NOON)
        chance.choice(STEPS)(kept, bytes([chance.randrange(8)]), NOON + chance.randrange(2 * DAY))
        left, sent = (dict(each) for each in kept.open_())
        assert {f: kept.back.get(f, 0) + left.get(f, 0) for f, _ in of.total} == dict(of.total)
        assert kept.back.keys() <= dict(of.total).keys()
        assert all(0 < amount <= left[field] for field, amount in sent.items())
        assert all(kept.back[field] >= amount for field, amount in back.items())
        assert kept.revision == revision + kept.changed
        assert kept.ended <= shares
        if ended_by is not None:
            assert (kept.ended_by, left) == (ended_by, {})
        ended_by = kept.ended_by
        for recipient, one in kept.shares.items():
            if one.ended_by is not None:
                assert ends.setdefault(recipient, one.ended_by) is one.ended_by
    assert kept.ended == len(ends)
