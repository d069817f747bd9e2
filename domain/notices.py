"""Notices: what an alert says of a balance, in every language.

Owns the words, as one table; a template names the values it needs. Which of them is said, and how a
locale writes an amount or an instant, is not decided here.
"""

from __future__ import annotations

from typing import Final

from domain.sentences import Words

#: What an alert says of a balance; how to top up may follow it.
NOTICES: Final[dict[str, Words]] = {
    "low_money": {
        "en": "{balance} is at {percent}\u00a0%: {remaining} of {base} left.",
        "id": "{balance} tinggal {percent}%: tersisa {remaining} dari {base}.",
        "es": "{balance}: queda el {percent}\u00a0%, {remaining} de {base}.",
    },
    "low_units": {
        "en": "{balance}: {percent}\u00a0% left, {remaining} of {base}.",
        "id": "{balance}: tersisa {percent}%, {remaining} dari {base}.",
        "es": "{balance}: queda el {percent}\u00a0%, {remaining} de {base}.",
    },
    "low": {
        "en": "{balance}: only {remaining} left.",
        "id": "{balance}: hanya tersisa {remaining}.",
        "es": "{balance}: quedan solo {remaining}.",
    },
    "exhausted": {
        "en": "{balance}: used up, nothing is left.",
        "id": "{balance}: habis, tidak ada yang tersisa.",
        "es": "{balance}: agotado, no queda nada.",
    },
    "exhausted_of": {
        "en": "{balance}: used up, nothing is left of {base}.",
        "id": "{balance}: habis, tidak ada yang tersisa dari {base}.",
        "es": "{balance}: agotado, no queda nada de {base}.",
    },
    "beside": {
        "en": "Beside it {rest} is left of what was added.",
        "id": "Selain itu tersisa {rest} dari yang ditambahkan.",
        "es": "Además quedan {rest} de lo añadido.",
    },
    "overdrawn": {
        "en": "{balance}: overdrawn, {owed} is owed.",
        "id": "{balance}: minus, terutang {owed}.",
        "es": "{balance}: en descubierto, se deben {owed}.",
    },
    "recovered": {
        "en": "{balance}: no longer low, {remaining} left.",
        "id": "{balance}: tidak lagi rendah, tersisa {remaining}.",
        "es": "{balance}: ya no está bajo, quedan {remaining}.",
    },
    "paid_up": {
        "en": "{balance}: no longer overdrawn.",
        "id": "{balance}: tidak lagi minus.",
        "es": "{balance}: ya no está en descubierto.",
    },
    "unwatched": {
        "en": "{balance}: no longer watched for {threshold}, {remaining} left.",
        "id": "{balance}: tidak lagi dipantau pada {threshold}, tersisa {remaining}.",
        "es": "{balance}: ya no se vigila en {threshold}, quedan {remaining}.",
    },
    "percent": {
        "en": "{percent}\u00a0%",
        "id": "{percent}%",
        "es": "{percent}\u00a0%",
    },
    "top_up_minimum": {
        "en": "Top up at least {minimum}.",
        "id": "Isi ulang minimal {minimum}.",
        "es": "Recargue al menos {minimum}.",
    },
    "top_up_pack": {
        "en": "Top up {pack} for {price}.",
        "id": "Isi ulang {pack} seharga {price}.",
        "es": "Recargue {pack} por {price}.",
    },
    "top_up": {
        "en": "Top up any amount.",
        "id": "Isi ulang berapa pun.",
        "es": "Recargue cualquier importe.",
    },
    "ask": {
        "en": "To top up, ask {contact}.",
        "id": "Untuk isi ulang, hubungi {contact}.",
        "es": "Para recargar, contacte con {contact}.",
    },
    "ask_provider": {
        "en": "To top up, ask your provider.",
        "id": "Untuk isi ulang, hubungi penyedia layanan Anda.",
        "es": "Para recargar, contacte con su proveedor.",
    },
    "running_out": {
        "en": "{balance} is forecast to run out {at}: {remaining} left.",
        "id": "{balance} diperkirakan habis {at}: tersisa {remaining}.",
        "es": "{balance}: se prevé que se agote {at}, quedan {remaining}.",
    },
    "running_out_over": {
        "en": "{balance} is no longer forecast to run out soon, {remaining} left.",
        "id": "{balance} tidak lagi diperkirakan segera habis, tersisa {remaining}.",
        "es": "{balance}: ya no se prevé que se agote pronto, quedan {remaining}.",
    },
    "refill_started": {
        "en": "{balance}: {remaining} left, and its refill is being paid.",
        "id": "{balance}: tersisa {remaining}, isi ulang otomatisnya sedang dibayar.",
        "es": "{balance}: quedan {remaining} y se está pagando su recarga automática.",
    },
    "refill_succeeded": {
        "en": "{balance} was refilled, {remaining} left.",
        "id": "{balance} sudah diisi ulang otomatis, tersisa {remaining}.",
        "es": "{balance}: recarga automática hecha, quedan {remaining}.",
    },
    "refill_failed": {
        "en": "{balance}: its refill could not be paid, {remaining} left.",
        "id": "{balance}: isi ulang otomatisnya tidak dapat dibayar, tersisa {remaining}.",
        "es": "{balance}: no se pudo pagar la recarga automática, quedan {remaining}.",
    },
    "refill_off": {
        "en": "{balance} is not refilled by itself any more, {remaining} left.",
        "id": "{balance} tidak lagi diisi ulang otomatis, tersisa {remaining}.",
        "es": "{balance}: ya no se recarga automáticamente, quedan {remaining}.",
    },
    "refill_cap": {
        "en": "{balance}: {remaining} left; a cap of its refills was reached, nothing was charged.",
        "id": "{balance}: tersisa {remaining}; batas isi ulang tercapai, tidak ada yang ditagih.",
        "es": "{balance}: quedan {remaining}; se alcanzó el tope de recargas, no se cobró nada.",
    },
    "topped_up": {
        "en": "{balance} was topped up, {remaining} left.",
        "id": "{balance} sudah diisi ulang, tersisa {remaining}.",
        "es": "{balance}: recargado, quedan {remaining}.",
    },
}
