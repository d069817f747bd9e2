"""What a subscription's changes are, in every language of notices.

Owns the words; what stands in them is given.
"""

from __future__ import annotations

from typing import Final

from domain.sentences import Words

CHANGES: Final[dict[str, Words]] = {
    "quantity": {
        "en": "{name}: {quantity} from {day} on.",
        "id": "{name}: {quantity} mulai {day}.",
        "es": "{name}: {quantity} a partir {day}.",
    },
    "plan": {
        "en": "{name} from {day} on.",
        "id": "{name} mulai {day}.",
        "es": "{name} a partir {day}.",
    },
    "pause": {
        "en": "Paused from {day} on.",
        "id": "Dijeda mulai {day}.",
        "es": "En pausa a partir {day}.",
    },
    "resume": {
        "en": "Resumed from {day} on.",
        "id": "Dilanjutkan mulai {day}.",
        "es": "Reanudada a partir {day}.",
    },
    "cancel": {
        "en": "Cancelled: {last} is its last day.",
        "id": "Dibatalkan: {last} adalah hari terakhirnya.",
        "es": "Cancelada: {last} es su último día.",
    },
    "renew": {
        "en": "Renewed: it goes on.",
        "id": "Diperpanjang: tetap berlanjut.",
        "es": "Renovada: continúa.",
    },
}
#: How a day is written, in the patterns of CLDR.
DAYS: Final[Words] = {
    "en": "d MMMM y",
    "id": "d MMMM y",
    "es": "'del' d 'de' MMMM 'de' y",
}
#: The same where it is what a sentence speaks of.
LAST_DAYS: Final[Words] = {**DAYS, "es": "'el' d 'de' MMMM 'de' y"}
