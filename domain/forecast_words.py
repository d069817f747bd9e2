"""Words of forecasts: when a balance runs out and what it is enough for, in every language.

Owns the words, as tables; a template names the values it needs. How a locale writes an amount, an
instant or a country is its caller's.
"""

from __future__ import annotations

from typing import Final

from domain.sentences import Words

#: A forecast as a sentence; `{more}` is what it is enough for, and that it is refilled.
FORECASTS: Final[dict[str, Words]] = {
    "runs_out": {
        "en": "{balance} runs out {at}{range}{more}.",
        "id": "{balance} habis {at}{range}{more}.",
        "es": "{balance} se agota {at}{range}{more}.",
    },
    "ends": {
        "en": "{balance}: what is left ends {at}{range}{more}.",
        "id": "{balance}: sisanya berakhir {at}{range}{more}.",
        "es": "{balance}: lo que queda vence {at}{range}{more}.",
    },
    "lasts_period": {
        "en": "{balance} lasts the period; it resets {at}{more}.",
        "id": "{balance} cukup sampai akhir periode; diisi kembali {at}{more}.",
        "es": "{balance} alcanza para el período; se renueva {at}{more}.",
    },
    "lasts": {
        "en": "{balance} lasts beyond {at}{more}.",
        "id": "{balance} masih cukup sesudah {at}{more}.",
        "es": "{balance} alcanza más allá de {at}{more}.",
    },
    "used_up": {
        "en": "{balance} is used up.",
        "id": "{balance} sudah habis.",
        "es": "{balance} está agotado.",
    },
    "too_new": {
        "en": "{balance}: {days} days of use are too few for a forecast; it takes {least}{more}.",
        "id": "{balance}: {days} hari pemakaian terlalu sedikit untuk perkiraan; "
        "perlu {least}{more}.",
        "es": "{balance}: {days} días de uso son pocos para una previsión; hacen falta "
        "{least}{more}.",
    },
    "unused": {
        "en": "{balance} was not used for {least} days, so no end is in sight{more}.",
        "id": "{balance} tidak dipakai selama {least} hari, jadi belum akan habis{more}.",
        "es": "{balance} no se usó en {least} días: no se prevé que se agote{more}.",
    },
    "between": {
        "en": " (between {earliest} and {latest})",
        "id": " (antara {earliest} dan {latest})",
        "es": " (entre {earliest} y {latest})",
    },
    "not_before": {
        "en": " (not before {earliest})",
        "id": " (tidak sebelum {earliest})",
        "es": " (no antes de {earliest})",
    },
    "enough": {
        "en": "; enough for {count} {what}",
        "id": "; cukup untuk {count} {what}",
        "es": "; alcanza para {count} {what}",
    },
    "refills": {
        "en": "; it is refilled before, {at}",
        "id": "; sebelum itu diisi ulang otomatis, {at}",
        "es": "; antes se recarga automáticamente, {at}",
    },
    "what": {
        "en": "{category} {units}",
        "id": "{units} {category}",
        "es": "{units} de {category}",
    },
    "what_to": {
        "en": "{category} {units} to {place}",
        "id": "{units} {category} ke {place}",
        "es": "{units} de {category} a {place}",
    },
}

#: What is counted, one and several; other units go by their own names.
COUNTED: Final[dict[str, tuple[Words, Words]]] = {
    "message": (
        {"en": "message", "id": "pesan", "es": "mensaje"},
        {"en": "messages", "id": "pesan", "es": "mensajes"},
    ),
    "conversation": (
        {"en": "conversation", "id": "percakapan", "es": "conversación"},
        {"en": "conversations", "id": "percakapan", "es": "conversaciones"},
    ),
    "visitor": (
        {"en": "visitor", "id": "pengunjung", "es": "visitante"},
        {"en": "visitors", "id": "pengunjung", "es": "visitantes"},
    ),
    "segment": (
        {"en": "segment", "id": "segmen", "es": "segmento"},
        {"en": "segments", "id": "segmen", "es": "segmentos"},
    ),
    "minute": (
        {"en": "minute", "id": "menit", "es": "minuto"},
        {"en": "minutes", "id": "menit", "es": "minutos"},
    ),
    "unit": (
        {"en": "unit", "id": "unit", "es": "unidad"},
        {"en": "units", "id": "unit", "es": "unidades"},
    ),
}
