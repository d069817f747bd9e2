"""Words of charts: what is counted, by what, and when, in every language.

Owns the words, as tables; a template names the values it needs. Which figures a chart shows is the
answer's it is drawn of, and how a locale writes numbers and days is not decided here.
"""

from __future__ import annotations

from typing import Final

from domain.sentences import Words

#: What is counted, by the names of measures.
MEASURES: Final[dict[str, Words]] = {
    "CONVERSATIONS": {"en": "Conversations", "id": "Percakapan", "es": "Conversaciones"},
    "CONVERSATIONS_SERVICE": {
        "en": "Service conversations",
        "id": "Percakapan layanan",
        "es": "Conversaciones de servicio",
    },
    "CONVERSATIONS_BUSINESS": {
        "en": "Business-initiated conversations",
        "id": "Percakapan dimulai bisnis",
        "es": "Conversaciones iniciadas por la empresa",
    },
    "VISITORS": {"en": "Visitors", "id": "Pengunjung", "es": "Visitantes"},
    "MESSAGES_IN": {
        "en": "Messages received",
        "id": "Pesan masuk",
        "es": "Mensajes recibidos",
    },
    "MESSAGES_OUT": {
        "en": "Messages delivered",
        "id": "Pesan terkirim",
        "es": "Mensajes entregados",
    },
    "MESSAGES_MARKETING": {
        "en": "Marketing messages",
        "id": "Pesan marketing",
        "es": "Mensajes de marketing",
    },
    "MESSAGES_UTILITY": {
        "en": "Utility messages",
        "id": "Pesan utilitas",
        "es": "Mensajes de utilidad",
    },
    "MESSAGES_AUTHENTICATION": {
        "en": "Authentication messages",
        "id": "Pesan autentikasi",
        "es": "Mensajes de autenticación",
    },
    "MESSAGES_SERVICE": {
        "en": "Service messages",
        "id": "Pesan layanan",
        "es": "Mensajes de servicio",
    },
    "MESSAGES_FREE": {"en": "Free messages", "id": "Pesan gratis", "es": "Mensajes gratuitos"},
    "SEGMENTS": {"en": "SMS segments", "id": "Segmen SMS", "es": "Segmentos de SMS"},
    "SECONDS_BILLED": {
        "en": "Minutes billed",
        "id": "Menit yang ditagih",
        "es": "Minutos facturados",
    },
    "EMAILS": {"en": "E-mails", "id": "Email", "es": "Correos electrónicos"},
    "BOT_SESSIONS": {"en": "Sessions", "id": "Sesi", "es": "Sesiones"},
    "COST": {"en": "Cost", "id": "Biaya", "es": "Costo"},
    "COST_INITIAL": {
        "en": "Cost paid by allowances",
        "id": "Biaya dari jatah awal",
        "es": "Costo pagado con asignaciones",
    },
    "COST_TOP_UP": {
        "en": "Cost paid by top-ups",
        "id": "Biaya dari isi ulang",
        "es": "Costo pagado con recargas",
    },
    "UNITS": {"en": "Units", "id": "Unit", "es": "Unidades"},
    "UNITS_INITIAL": {
        "en": "Units of allowances",
        "id": "Unit dari jatah awal",
        "es": "Unidades de asignaciones",
    },
    "UNITS_TOP_UP": {
        "en": "Units of top-ups",
        "id": "Unit dari isi ulang",
        "es": "Unidades de recargas",
    },
}

#: What it is split by, by the names of dimensions, inside a title.
DIMENSIONS: Final[dict[str, Words]] = {
    "NUMBER": {"en": "number", "id": "nomor", "es": "número"},
    "CHANNEL": {"en": "channel", "id": "kanal", "es": "canal"},
    "COUNTRY": {"en": "country", "id": "negara", "es": "país"},
    "DIRECTION": {"en": "direction", "id": "arah", "es": "dirección"},
    "CATEGORY": {"en": "category", "id": "kategori", "es": "categoría"},
    "USER": {"en": "user", "id": "pengguna", "es": "usuario"},
    "BROADCAST": {"en": "broadcast", "id": "siaran", "es": "difusión"},
}

#: What a fact without a value stands under, by the names of dimensions.
WITHOUT: Final[dict[str, Words]] = {
    "NUMBER": {"en": "No number", "id": "Tanpa nomor", "es": "Sin número"},
    "CHANNEL": {"en": "No channel", "id": "Tanpa kanal", "es": "Sin canal"},
    "COUNTRY": {"en": "No country", "id": "Tanpa negara", "es": "Sin país"},
    "DIRECTION": {"en": "No direction", "id": "Tanpa arah", "es": "Sin dirección"},
    "CATEGORY": {"en": "No category", "id": "Tanpa kategori", "es": "Sin categoría"},
    "USER": {"en": "No user", "id": "Tanpa pengguna", "es": "Sin usuario"},
    "BROADCAST": {"en": "No broadcast", "id": "Tanpa siaran", "es": "Sin difusión"},
}

#: Values of dimensions that are words, by the name of their dimension; the others are names.
#: What channels are called is no rule, and stands with the charts.
VALUES: Final[dict[str, dict[str, Words]]] = {
    "CATEGORY": {
        "marketing": {"en": "Marketing", "id": "Marketing", "es": "Marketing"},
        "utility": {"en": "Utility", "id": "Utilitas", "es": "Utilidad"},
        "authentication": {"en": "Authentication", "id": "Autentikasi", "es": "Autenticación"},
        "authentication_international": {
            "en": "Authentication abroad",
            "id": "Autentikasi internasional",
            "es": "Autenticación internacional",
        },
        "service": {"en": "Service", "id": "Layanan", "es": "Servicio"},
    },
    "DIRECTION": {
        "in": {"en": "Received", "id": "Masuk", "es": "Recibidos"},
        "out": {"en": "Sent", "id": "Keluar", "es": "Enviados"},
    },
}

#: The length of a bucket.
BUCKETS: Final[dict[str, Words]] = {
    "hour": {"en": "by hour", "id": "per jam", "es": "por hora"},
    "day": {"en": "by day", "id": "per hari", "es": "por día"},
    "week": {"en": "by week", "id": "per minggu", "es": "por semana"},
    "month": {"en": "by month", "id": "per bulan", "es": "por mes"},
}

WORDS: Final[dict[str, Words]] = {
    "by": {"en": "{what} by {first}", "id": "{what} per {first}", "es": "{what} por {first}"},
    "by_two": {
        "en": "{what} by {first} and {second}",
        "id": "{what} per {first} dan {second}",
        "es": "{what} por {first} y {second}",
    },
    "usage": {"en": "Usage", "id": "Pemakaian", "es": "Uso"},
    "total": {"en": "Total", "id": "Total", "es": "Total"},
    "minutes": {"en": "Minutes", "id": "Menit", "es": "Minutos"},
    "others": {"en": "Others ({count})", "id": "Lainnya ({count})", "es": "Otros ({count})"},
    "only": {"en": "Only: {values}", "id": "Hanya: {values}", "es": "Solo: {values}"},
    "nothing_matches": {
        "en": "Only: no value of {dimension}",
        "id": "Hanya: tidak satu pun {dimension}",
        "es": "Solo: ningún valor de {dimension}",
    },
    "further": {
        "en": "{values} and {count} more",
        "id": "{values} dan {count} lainnya",
        "es": "{values} y {count} más",
    },
    "nothing": {
        "en": "No usage in this range",
        "id": "Tidak ada pemakaian dalam rentang ini",
        "es": "Sin uso en este intervalo",
    },
    "to_come": {
        "en": "This range has not begun yet",
        "id": "Rentang ini belum dimulai",
        "es": "Este intervalo aún no ha comenzado",
    },
    "as_of": {
        "en": "As of {at} ({zone})",
        "id": "Per {at} ({zone})",
        "es": "A fecha de {at} ({zone})",
    },
    "estimate": {
        "en": "Estimate until the period is closed",
        "id": "Perkiraan sampai periode ditutup",
        "es": "Estimación hasta el cierre del período",
    },
    "final": {"en": "Final", "id": "Final", "es": "Definitivo"},
    "dotted": {
        "en": "Dotted: still under way",
        "id": "Putus-putus: masih berjalan",
        "es": "Punteado: en curso",
    },
    "lighter": {
        "en": "Faded: still under way",
        "id": "Pudar: masih berjalan",
        "es": "Atenuado: en curso",
    },
    "shaded": {"en": "Shaded: to come", "id": "Diarsir: belum tiba", "es": "Sombreado: por venir"},
}
