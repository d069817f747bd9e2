"""Addresses in one spelling: telephone numbers, e-mail addresses, and everything else.

Owns what an address on a channel may look like and which country a telephone number belongs to
(PR-6). Does not own markets: which price a number has is the book's.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from domain.facts import CHANNEL_NAMES, PHONE_CHANNELS, Channel

ADDRESS_LENGTH_MAX = 255
EMAIL_LENGTH_MAX = 254  # RFC 5321's path without its angle brackets
PHONE_DIGITS_MAX = 15  # E.164
PHONE_LENGTH_MAX = 40  # its digits and what people write between them
#: Spellings remembered, a known contact then costs 100 ns.
KNOWN_MAX = 65_536

# Separators people write inside telephone numbers.
SEPARATORS = str.maketrans("", "", " ().-\u00a0")
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
EMAIL = re.compile(
    r"[^\s@\"(),:;<>\[\\\]]{1,64}@(?:[^\s@.\"(),:;<>\[\\\]]{1,63}\.)+[^\s@.\d]{2,63}"
)
SHORT_CODE = re.compile(r"[0-9]{3,8}")
SENDER_NAME = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 ._&-]{2,11}")


@lru_cache(maxsize=KNOWN_MAX)
def normalise_address(channel: Channel, text: str) -> tuple[str, str]:
    """A contact's (address, ISO country) on `channel`; country is "" where there is none.

    Telephone numbers become digits with country code, e-mail addresses lower case. ValueError says
    what is wrong and what would be right.
    """
    if channel in PHONE_CHANNELS:
        return phone(text)
    if channel is Channel.EMAIL:
        return email(text), ""
    return opaque(text), ""


@lru_cache(maxsize=KNOWN_MAX)
def normalise_number(channel: Channel, text: str) -> str:
    """A tenant's own number on `channel`: as a contact's, and on SMS also what networks know.

    Those are short codes (3 to 8 digits) and names of senders (2 to 11 letters, digits, blanks).
    """
    if channel is Channel.SMS:
        code = text.strip()
        if SHORT_CODE.fullmatch(code) or SENDER_NAME.fullmatch(code):
            return code
    return normalise_address(channel, text)[0]


@lru_cache(maxsize=KNOWN_MAX)
def spellings(text: str) -> tuple[str, ...]:
    """Every form in which `text` may stand in a list of numbers whose channel is not said."""
    forms = dict[str, None]()
    for channel in (Channel.WHATSAPP, Channel.SMS, Channel.EMAIL, Channel.LIVECHAT):
        try:
            forms[normalise_number(channel, text)] = None
        except ValueError:
            continue
    return tuple(forms)


def opaque(text: str) -> str:
    """An address only its channel understands: 1 to 255 characters, taken as they are."""
    if not text or not text.strip():
        raise ValueError("the address is empty: write 1 to 255 characters")
    if len(text) > ADDRESS_LENGTH_MAX:
        raise ValueError(f"the address has {len(text)} characters: write at most 255")
    if UNPRINTABLE.search(text):
        raise ValueError("the address has control characters: write printable ones")
    return text


def email(text: str) -> str:
    address = text.strip().lower()
    if len(address) > EMAIL_LENGTH_MAX or UNPRINTABLE.search(address):
        raise ValueError(f"{shown(text)} is no e-mail address: at most 254 printable characters")
    if not EMAIL.fullmatch(address):
        raise ValueError(f"{shown(text)} is no e-mail address: write one such as ana@example.com")
    return address


def phone(text: str) -> tuple[str, str]:
    """Digits with country code, and the country; never guesses a country (PR-6)."""
    if len(text) > PHONE_LENGTH_MAX:
        raise ValueError(
            f"{len(text)} characters are not a possible number: write digits with country code, "
            "such as +62 811 1000 1234"
        )
    digits = text.strip(" ").removeprefix("+")
    if digits[:1].isdecimal() or digits[:1] == "(":
        digits = digits.translate(SEPARATORS)
    if not (digits.isascii() and digits.isdecimal()):
        raise ValueError(
            f"{shown(text)} is no telephone number: write digits with country code, "
            "such as +62 811 1000 1234"
        )
    if digits[0] == "0":
        raise ValueError(
            f"{shown(text)} has no country code: write it in front, without leading zeros, "
            "such as +62 811 1000 1234"
        )
    code = calling_code(digits)
    if code is None:
        raise ValueError(
            f"{shown(text)} begins with no country code there is: write it in front, "
            "such as +62 811 1000 1234"
        )
    national = digits[len(code.digits) :]
    if len(national) not in code.lengths:
        least, most = min(code.lengths), max(code.lengths)
        raise ValueError(
            f"{shown(text)} is not a possible number: after +{code.digits} come "
            + (f"{least} digits" if least == most else f"{least} to {most} digits")
            + f", here are {len(national)}"
        )
    if national[0] == "0" and not any(re.fullmatch(p, national) for p in code.patterns):
        raise ValueError(
            f"{shown(text)} has a 0 after the country code +{code.digits} that is only dialled "
            "at home: leave it out"
        )
    return digits, code.country if code.country is not None else country_of(digits)


class CallingCode(NamedTuple):
    digits: str
    lengths: frozenset[int]  #: digits a number may have after the code
    patterns: tuple[str, ...]  #: what a national number looks like, for those that begin with 0
    country: str | None  #: None where several countries share the code


def calling_code(digits: str) -> CallingCode | None:
    """The calling code a number begins with; none is the beginning of another."""
    codes = calling_codes()
    return codes.get(digits[:1]) or codes.get(digits[:2]) or codes.get(digits[:3])


@lru_cache(maxsize=1)
def calling_codes() -> dict[str, CallingCode]:
    """Every calling code of phonenumberslite's tables; read once, when the first is asked for."""
    # Imported here: half of what the tables weigh is spared where nobody sends to a telephone.
    from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata

    codes: dict[str, CallingCode] = {}
    for number, regions in COUNTRY_CODE_TO_REGION_CODE.items():
        lengths: set[int] = set()
        patterns: list[str] = []
        for region in regions:
            metadata = (
                PhoneMetadata.metadata_for_nongeo_region(number)
                if region == "001"
                else PhoneMetadata.metadata_for_region(region)
            )
            described = metadata and metadata.general_desc
            if described:
                # The first region is the code's main one, whose lengths hold for all: Canada's
                # own would let numbers of 7 digits pass in all of North America.
                lengths = lengths or set(described.possible_length)
                patterns.append(described.national_number_pattern or "")
        # 001 is the world: freephone and satellite numbers belong to no country.
        alone = "" if regions[0] == "001" else regions[0]
        codes[str(number)] = CallingCode(
            str(number),
            frozenset(n for n in lengths if 0 < n <= PHONE_DIGITS_MAX - len(str(number))),
            tuple(patterns),
            alone if len(regions) == 1 else None,
        )
    return codes


def country_of(digits: str) -> str:
    """Which of the countries that share a calling code a number belongs to; "" if none says so."""
    import phonenumbers

    number = phonenumbers.parse("+" + digits)
    return phonenumbers.region_code_for_number(number) or ""


def channel_name(channel: int) -> str:
    """A channel as the outside calls it."""
    return CHANNEL_NAMES[channel]


def shown(text: str) -> str:
    """A wrong value as an answer repeats it."""
    return repr(text if len(text) <= 60 else text[:60] + "…")
