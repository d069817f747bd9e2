"""Sentences: what a charge is, in words of people who do not know the rule book by heart.

Owns the words of every language, as tables, and the templates' filling; a template names the values
it needs. Does not own how a locale writes an amount, nor which reason a charge has: both are given.
What alerts say is in `notices`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from string import Formatter
from typing import Final

from domain.explain import Why
from domain.facts import Type
from domain.lots import LotSource

Words = Mapping[str, str]  #: a text by language


class Language(StrEnum):
    """A language sentences are written in; the value is the tag's first part."""

    ENGLISH = "en"
    INDONESIAN = "id"
    SPANISH = "es"


#: The languages that charges and alerts are told in.
OF_CHARGES: Final = frozenset({Language.ENGLISH, Language.INDONESIAN})
OF_NOTICES: Final = frozenset(Language)


#: What happened, at the beginning of a sentence.
SUBJECTS: Final[dict[Type, Words]] = {
    Type.MESSAGE_RECEIVED: {
        "en": "The message from {contact}",
        "id": "Pesan dari {contact}",
    },
    Type.MESSAGE_SENT: {
        "en": "The {category} message to {contact}",
        "id": "Pesan {category} ke {contact}",
    },
    Type.MESSAGE_FAILED: {
        "en": "The failed {category} message to {contact}",
        "id": "Pesan {category} yang gagal ke {contact}",
    },
    Type.CALL_ENDED: {
        "en": "The call with {contact}",
        "id": "Panggilan dengan {contact}",
    },
    Type.SESSION_ENDED: {
        "en": "The session with {contact}",
        "id": "Sesi dengan {contact}",
    },
    Type.EMAIL_SENT: {
        "en": "The e-mail to {contact}",
        "id": "Email ke {contact}",
    },
    Type.USAGE_RECORDED: {
        "en": "The recorded usage {fact}",
        "id": "Pemakaian {fact} yang dicatat",
    },
}
for _reached in (Type.MESSAGE_DELIVERED, Type.MESSAGE_READ, Type.MESSAGE_PLAYED):
    SUBJECTS[_reached] = SUBJECTS[Type.MESSAGE_SENT]

#: Why, after the subject. `{price}`, `{payers}` and the clauses are phrases of this table's own.
REASONS: Final[dict[Why, Words]] = {
    Why.CHARGED: {
        "en": "{subject} cost {cost} by {rule}{market}{clauses}; {payers}{notes}.",
        "id": "{subject} berbiaya {cost} menurut {rule}{market}{clauses}; {payers}{notes}.",
    },
    Why.CONVERSATION_OPENED: {
        "en": "{subject} opened a conversation{until} and cost {cost} by {rule}; {payers}{notes}.",
        "id": "{subject} membuka percakapan{until} dan berbiaya {cost} menurut {rule}; "
        "{payers}{notes}.",
    },
    Why.VISITOR: {
        "en": "{subject} was the contact's first on {channel} in {month}: {cost} by {rule}; "
        "{payers}{notes}.",
        "id": "{subject} adalah yang pertama dari kontak itu di {channel} pada {month}: {cost} "
        "menurut {rule}; {payers}{notes}.",
    },
    Why.COVERED: {
        "en": "{subject} cost nothing by {rule}: the paid conversation{opened}{until} covers "
        "it{notes}.",
        "id": "{subject} tidak berbiaya menurut {rule}: percakapan berbayar{opened}{until} "
        "mencakupnya{notes}.",
    },
    Why.FREE_IN_WINDOW: {
        "en": "{subject} cost nothing by {rule}: it is free inside the customer-service "
        "window{opened}{until}{notes}.",
        "id": "{subject} tidak berbiaya menurut {rule}: gratis di dalam jendela layanan "
        "pelanggan{opened}{until}{notes}.",
    },
    Why.FREE_ENTRY: {
        "en": "{subject} cost nothing by {rule}: everything is free inside the free-entry "
        "window{opened}{until}{notes}.",
        "id": "{subject} tidak berbiaya menurut {rule}: semuanya gratis di dalam jendela masuk "
        "gratis{opened}{until}{notes}.",
    },
    Why.FREE_COUNT: {
        "en": "{subject} cost nothing by {rule}: it is {position} that are free for {scope} in "
        "{month}{notes}.",
        "id": "{subject} tidak berbiaya menurut {rule}: {position} yang gratis untuk {scope} pada "
        "{month}{notes}.",
    },
    Why.PRICE_ZERO: {
        "en": "{subject} cost nothing by {rule}{market}: its price is 0{notes}.",
        "id": "{subject} tidak berbiaya menurut {rule}{market}: harganya 0{notes}.",
    },
    Why.NOTHING_COUNTED: {
        "en": "{subject} cost nothing by {rule}: there was nothing to count{notes}.",
        "id": "{subject} tidak berbiaya menurut {rule}: tidak ada yang dihitung{notes}.",
    },
    Why.REPEATED: {
        "en": "{subject} cost nothing: an earlier status of the same message was charged{notes}.",
        "id": "{subject} tidak berbiaya: status lain dari pesan yang sama sudah ditagih{notes}.",
    },
    Why.UNRATED: {
        "en": "{subject} was kept, but no row of {book} covers {what}; it will be rated as soon as "
        "one does{notes}.",
        "id": "{subject} disimpan, tetapi tidak ada baris {book} yang mencakup {what}; biayanya "
        "dihitung begitu baris itu ada{notes}.",
    },
    Why.NO_CHARGE: {
        "en": "{subject} was kept and costs nothing: such a fact has no charge{notes}.",
        "id": "{subject} disimpan dan tidak berbiaya: fakta seperti ini tidak ditagih{notes}.",
    },
}

#: The phrases a reason is completed with; each stands where it applies, else nothing does.
PHRASES: Final[dict[str, Words]] = {
    "reversal": {
        "en": "Taken back: {sentence}",
        "id": "Ditarik kembali: {sentence}",
    },
    "adjusted": {
        "en": "Adjustment for {month}: {sentence}",
        "id": "Penyesuaian untuk {month}: {sentence}",
    },
    "group": {
        "en": "{member} in group {group}",
        "id": "{member} di grup {group}",
    },
    "a_group": {
        "en": "group {group}",
        "id": "grup {group}",
    },
    "market": {
        "en": ", market {market}",
        "id": ", pasar {market}",
    },
    "market_by_prefix": {
        "en": ", market {market} by prefix +{prefix}",
        "id": ", pasar {market} menurut prefiks +{prefix}",
    },
    "opened": {
        "en": " opened {at}",
        "id": " yang dibuka {at}",
    },
    "opened_by": {
        "en": " opened {at} by fact {fact}",
        "id": " yang dibuka {at} oleh fakta {fact}",
    },
    "until": {
        "en": ", open until {at},",
        "id": ", terbuka sampai {at},",
    },
    "until_last": {
        "en": ", open until {at}",
        "id": ", terbuka sampai {at}",
    },
    "numbered": {
        "en": "number {number} of the {count}",
        "id": "nomor {number} dari {count}",
    },
    "unnumbered": {
        "en": "one of the {count}",
        "id": "termasuk {count}",
    },
    "per_number": {
        "en": "number {number}",
        "id": "nomor pengirim {number}",
    },
    "per_tenant": {
        "en": "the tenant",
        "id": "tenant",
    },
    "outside": {
        "en": ", outside the customer-service window",
        "id": ", di luar jendela layanan pelanggan",
    },
    "after_count": {
        "en": ", after the {count} that are free in {month}",
        "id": ", sesudah {count} yang gratis pada {month}",
    },
    "tier": {
        "en": ", in the tier above {above} as number {number} of {month}",
        "id": ", di tingkat di atas {above} sebagai nomor {number} pada {month}",
    },
    "tier_without_position": {
        "en": ", in the tier above {above} of {month}",
        "id": ", di tingkat di atas {above} pada {month}",
    },
    "minutes": {
        "en": "{seconds} seconds × {price} a minute",
        "id": "{seconds} detik × {price} per menit",
    },
    "rounded": {
        "en": ", rounded to {amount}",
        "id": ", dibulatkan menjadi {amount}",
    },
    "part": {
        "en": ", of which {amount} from {balance}",
        "id": ", dan {amount} darinya dari {balance}",
    },
    "units": {
        "en": "{amount} of {balance}",
        "id": "{amount} dari {balance}",
    },
    "paid": {
        "en": "paid by {lots}",
        "id": "dibayar oleh {lots}",
    },
    "paid_from": {
        "en": "paid from {balance} by {lots}",
        "id": "dibayar dari {balance} oleh {lots}",
    },
    "share": {
        "en": "{lot} ({amount})",
        "id": "{lot} ({amount})",
    },
    "then": {
        "en": ", then ",
        "id": ", lalu ",
    },
    "unrated_message": {
        "en": "{category} messages in market {market}",
        "id": "pesan {category} di pasar {market}",
    },
    "unrated_other": {
        "en": "{type} on {channel}",
        "id": "{type} di {channel}",
    },
    "no_category": {
        "en": "uncategorised",
        "id": "tanpa kategori",
    },
    "refunded": {
        "en": "; {amount} was refunded",
        "id": "; {amount} sudah dikembalikan",
    },
    "late": {
        "en": "; it came late and may still be settled",
        "id": "; datang terlambat dan masih dapat diperhitungkan ulang",
    },
    "late_commit": {
        "en": "; its hold had expired",
        "id": "; penahanannya sudah kedaluwarsa",
    },
    "over_hold": {
        "en": "; it cost more than its share of hold {hold}",
        "id": "; biayanya melebihi bagiannya dari penahanan {hold}",
    },
    "unknown_hold": {
        "en": "; hold {hold} is not known",
        "id": "; penahanan {hold} tidak dikenal",
    },
}

#: What a lot is called among those that paid.
LOTS: Final[dict[LotSource, Words]] = {
    LotSource.ALLOWANCE: {"en": "the allowance of {month}", "id": "jatah {month}"},
    LotSource.TOP_UP: {"en": "a top-up", "id": "isi ulang"},
    LotSource.PROMOTION: {"en": "a promotion", "id": "promosi"},
    LotSource.ADJUSTMENT: {"en": "an adjustment", "id": "penyesuaian"},
    LotSource.OVERDRAFT: {
        "en": "the overdraft, for nothing else was left",
        "id": "saldo minus, karena tidak ada lagi yang tersisa",
    },
}


def say(words: Words, language: Language, **values: str) -> str:
    """A template of these tables in a language, its values filled in."""
    return words[language].format(**values)


def phrase(name: str, language: Language, **values: str) -> str:
    """A phrase by its name."""
    return say(PHRASES[name], language, **values)


def needs(template: str) -> set[str]:
    """The names of the values a template is filled with."""
    return {name for _, name, _, _ in Formatter().parse(template) if name is not None}
