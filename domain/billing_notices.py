"""Notices of billing: what an alert says of an invoice or a subscription, in every language.

Owns the words, as tables; a template names the values it needs. Which of them is said, and how a
locale writes an amount or a day, is not decided here.
"""

from __future__ import annotations

from typing import Final

from domain.sentences import Words

NOTICES: Final[dict[str, Words]] = {
    "issued": {
        "en": "Invoice {number} was issued: {total}, due on {due}.",
        "id": "Faktur {number} telah diterbitkan: {total}, jatuh tempo {due}.",
        "es": "Se emitió la factura {number}: {total}, vence el {due}.",
    },
    "issued_in_part": {
        "en": "Invoice {number} was issued: {left} of {total} is left to pay, due on {due}.",
        "id": "Faktur {number} telah diterbitkan: tersisa {left} dari {total}, jatuh tempo {due}.",
        "es": "Se emitió la factura {number}: quedan por pagar {left} de {total}, vence el {due}.",
    },
    "issued_paid": {
        "en": "Invoice {number} was issued: {total}, nothing is left to pay.",
        "id": "Faktur {number} telah diterbitkan: {total}, tidak ada yang perlu dibayar.",
        "es": "Se emitió la factura {number}: {total}, no queda nada por pagar.",
    },
    "paid": {
        "en": "Invoice {number} is paid: nothing is left of {total}.",
        "id": "Faktur {number} lunas: tidak ada sisa dari {total}.",
        "es": "La factura {number} está pagada: no queda nada de {total}.",
    },
    "overdue_one": {
        "en": "Invoice {number} is overdue: {left} was due on {due}, a day ago.",
        "id": "Faktur {number} lewat jatuh tempo: {left} jatuh tempo {due}, sehari yang lalu.",
        "es": "La factura {number} está vencida: {left} vencía el {due}, hace un día.",
    },
    "overdue": {
        "en": "Invoice {number} is overdue: {left} was due on {due}, {days} days ago.",
        "id": "Faktur {number} lewat jatuh tempo: {left} jatuh tempo {due}, {days} hari yang lalu.",
        "es": "La factura {number} está vencida: {left} vencía el {due}, hace {days} días.",
    },
    "ending": {
        "en": "Subscription {key} ends: its last day is {day}.",
        "id": "Langganan {key} akan berakhir: hari terakhirnya {day}.",
        "es": "La suscripción {key} termina: su último día es el {day}.",
    },
    "ended": {
        "en": "Subscription {key} has ended: its last day was {day}.",
        "id": "Langganan {key} telah berakhir: hari terakhirnya {day}.",
        "es": "La suscripción {key} terminó: su último día fue el {day}.",
    },
}

#: What stands before a figure of a letter.
LABELS: Final[dict[str, Words]] = {
    "at": {"en": "When", "id": "Waktu", "es": "Cuándo"},
    "number": {"en": "Invoice", "id": "Faktur", "es": "Factura"},
    "total": {"en": "Total", "id": "Jumlah", "es": "Importe total"},
    "left": {"en": "Left to pay", "id": "Sisa tagihan", "es": "Por pagar"},
    "due": {"en": "Due on", "id": "Jatuh tempo", "es": "Vencimiento"},
    "key": {"en": "Subscription", "id": "Langganan", "es": "Suscripción"},
    "day": {"en": "Last day", "id": "Hari terakhir", "es": "Último día"},
    "meanwhile": {"en": "Meanwhile", "id": "Sementara itu", "es": "Mientras tanto"},
    "alert": {"en": "Alert number", "id": "Nomor pemberitahuan", "es": "Número de aviso"},
}

#: What has become of an invoice since.
SINCE: Final[dict[str, Words]] = {
    "paid": {
        "en": "paid since {at}", "id": "lunas sejak {at}", "es": "pagada desde {at}"
    },
    "void": {
        "en": "void since {at}", "id": "batal sejak {at}", "es": "anulada desde {at}"
    },
}  # fmt: skip
