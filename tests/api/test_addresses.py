"""PR-6: telephone numbers carry their country code, and nothing is guessed."""

from __future__ import annotations

import phonenumbers
import pytest
from phonenumbers import PhoneNumberFormat

from api import ids
from api.addresses import calling_codes, normalise_address, normalise_number, spellings
from domain.facts import Channel

PHONES = [
    ("+62 811-1000 0001", "6281110000001", "ID"),
    ("6281110000001", "6281110000001", "ID"),
    ("+1 (809) 555-0123", "18095550123", "DO"),
    ("+1 201 555 0123", "12015550123", "US"),
    ("+1 416 555 0123", "14165550123", "CA"),
    ("+7 701 234 5678", "77012345678", "KZ"),
    ("+39 06 1234 5678", "390612345678", "IT"),
    ("+225 07 07 07 07 07", "2250707070707", "CI"),
    ("+800 1234 5678", "80012345678", ""),
]
REFUSED = [
    ("", "no telephone number"),
    ("+", "no telephone number"),
    ("abc", "no telephone number"),
    ("6281110000001x", "no telephone number"),
    ("62+81110000001", "no telephone number"),
    ("٦٢٨١١١٠٠٠٠٠٠١", "no telephone number"),
    ("6281110000001\0", "no telephone number"),
    ("081110000001", "no country code"),
    ("00 62 811 1000 0001", "no country code"),
    ("+999 123 456", "no country code there is"),
    ("62", "here are 0"),
    ("6281", "here are 2"),
    ("+62 811 1000 0001 0000", "here are 15"),
    ("+1 555 0100", "10 digits"),
    ("+62 0811 1000 0001", "dialled at home"),
    ("62" + "9" * 1_000_000, "not a possible number"),
]


@pytest.mark.parametrize(("text", "address", "country"), PHONES)
def test_telephone_numbers(text: str, address: str, country: str) -> None:
    for channel in (Channel.WHATSAPP, Channel.SMS, Channel.VOICE, Channel.VOICEMAIL):
        assert normalise_address(channel, text) == (address, country)


@pytest.mark.parametrize(("text", "words"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_no_telephone_number(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as refused:
        normalise_address(Channel.WHATSAPP, text)
    assert len(str(refused.value)) < 250


def test_every_countrys_example_is_taken_and_placed() -> None:
    """Against the tables' own examples, mobile and fixed, of every region there is."""
    for region in phonenumbers.SUPPORTED_REGIONS:
        for kind in (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE):
            example = phonenumbers.example_number_for_type(region, kind)
            if example is None:
                continue
            written = phonenumbers.format_number(example, PhoneNumberFormat.E164)
            address, country = normalise_address(Channel.WHATSAPP, written)
            assert "+" + address == written
            assert country == phonenumbers.region_code_for_number(example)


def test_no_calling_code_begins_another() -> None:
    codes = calling_codes()
    for code in codes:
        assert not any(other != code and other.startswith(code) for other in codes)


def test_mail_and_other_addresses() -> None:
    assert normalise_address(Channel.EMAIL, " Ana@Example.COM ") == ("ana@example.com", "")
    for text in ("", "ana", "ana@", "@x.com", "a@b", "a b@x.com", "a@x..com", "a@x.com\0"):
        with pytest.raises(ValueError, match="e-mail"):
            normalise_address(Channel.EMAIL, text)
    with pytest.raises(ValueError, match="e-mail"):
        normalise_address(Channel.EMAIL, "a" * 300 + "@x.com")
    assert normalise_address(Channel.INSTAGRAM, "Ana ✨") == ("Ana ✨", "")
    for text in ("", " ", "a\0", "a\x1fb", "\ud800", "x" * 256):
        with pytest.raises(ValueError, match="address"):
            normalise_address(Channel.INSTAGRAM, text)


def test_senders_on_sms_may_be_short_or_named() -> None:
    assert normalise_number(Channel.SMS, "12345") == "12345"
    assert normalise_number(Channel.SMS, "ACME Bank") == "ACME Bank"
    assert normalise_number(Channel.SMS, "+62 811 1000 0001") == "6281110000001"
    for text in ("12", "a name that is long", "0811 1000 0001"):
        with pytest.raises(ValueError, match=r"number|country"):
            normalise_number(Channel.SMS, text)


def test_spellings_are_all_forms_a_number_may_be_listed_in() -> None:
    assert set(spellings("+62 811 1000 0001")) == {"6281110000001", "+62 811 1000 0001"}
    assert spellings("12345") == ("12345",)
    assert set(spellings("Help@x.com")) == {"help@x.com", "Help@x.com"}
    assert spellings("\0") == ()


def test_ids_come_back_and_hide_their_order() -> None:
    for number in (1, 2, 3, 1_000_000, 2**63 - 1):
        text = ids.encode("tnt", number)
        assert ids.decode("tnt", text) == number
        assert ids.decode("num", text) is None
        assert len(text) == 17
    assert ids.encode("tnt", 1)[4:8] != ids.encode("tnt", 2)[4:8]
    for text in ("", "tnt", "tnt_", "tnt_0000000000000", "tnt_zzzzzzzzzzzzz", "tnt_\0", "tnt_u"):
        assert ids.decode("tnt", text) is None
