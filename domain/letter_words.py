"""Words of letters: what a letter says of an alert beside its banner, in every language.

Owns the words, as tables; a template names the values it needs. When a letter goes and what stands
in it is not decided here.
"""

from __future__ import annotations

from typing import Final

from domain.sentences import Words
from domain.watch import AlertCause, AlertKind

#: What has become of a balance, an invoice or a subscription, as a subject says it.
SUBJECTS: Final[dict[AlertKind, Words]] = {
    AlertKind.THRESHOLD: {
        "en": "{balance} is running low",
        "id": "{balance} hampir habis",
        "es": "{balance}: queda poco",
    },
    AlertKind.EXHAUSTED: {
        "en": "{balance} is used up",
        "id": "{balance} habis",
        "es": "{balance}: agotado",
    },
    AlertKind.RECOVERED: {
        "en": "{balance} is no longer low",
        "id": "{balance} tidak lagi rendah",
        "es": "{balance}: ya no está bajo",
    },
    AlertKind.OVERDRAWN: {
        "en": "{balance} is overdrawn",
        "id": "{balance} minus",
        "es": "{balance}: en descubierto",
    },
    AlertKind.REFILL_STARTED: {
        "en": "{balance} is being refilled",
        "id": "{balance} sedang diisi ulang otomatis",
        "es": "{balance}: recarga automática en curso",
    },
    AlertKind.REFILL_SUCCEEDED: {
        "en": "{balance} was refilled",
        "id": "{balance} telah diisi ulang otomatis",
        "es": "{balance}: recarga automática hecha",
    },
    AlertKind.REFILL_FAILED: {
        "en": "{balance} could not be refilled",
        "id": "{balance} gagal diisi ulang otomatis",
        "es": "{balance}: la recarga automática falló",
    },
    AlertKind.REFILL_OFF: {
        "en": "{balance} is not refilled any more",
        "id": "{balance} tidak lagi diisi ulang otomatis",
        "es": "{balance}: recarga automática desactivada",
    },
    AlertKind.REFILL_CAP: {
        "en": "{balance} was not refilled: a cap forbids it",
        "id": "{balance} tidak diisi ulang otomatis: batas tercapai",
        "es": "{balance}: no se recargó, un tope lo impide",
    },
    AlertKind.TOPPED_UP: {
        "en": "{balance} was topped up",
        "id": "{balance} telah diisi ulang",
        "es": "{balance}: recarga recibida",
    },
    AlertKind.RUNNING_OUT: {
        "en": "{balance} will soon run out",
        "id": "{balance} diperkirakan segera habis",
        "es": "{balance}: se agotará pronto",
    },
    AlertKind.INVOICE_ISSUED: {
        "en": "Invoice {number} was issued",
        "id": "Faktur {number} telah diterbitkan",
        "es": "Se emitió la factura {number}",
    },
    AlertKind.INVOICE_PAID: {
        "en": "Invoice {number} is paid",
        "id": "Faktur {number} lunas",
        "es": "Factura {number} pagada",
    },
    AlertKind.INVOICE_OVERDUE: {
        "en": "Invoice {number} is overdue",
        "id": "Faktur {number} lewat jatuh tempo",
        "es": "Factura {number} vencida",
    },
    AlertKind.SUBSCRIPTION_ENDING: {
        "en": "Subscription {key} is ending",
        "id": "Langganan {key} akan berakhir",
        "es": "La suscripción {key} termina",
    },
}

#: What the reader may want to do about it, beside topping up.
ADVICE: Final[dict[AlertKind, Words]] = {
    AlertKind.EXHAUSTED: {
        "en": "Until then, sends that need this balance may be refused.",
        "id": "Sampai saat itu, pengiriman yang memerlukan saldo ini dapat ditolak.",
        "es": "Hasta entonces, los envíos que necesitan este saldo pueden ser rechazados.",
    },
    AlertKind.OVERDRAWN: {
        "en": "What is added pays off first what is owed.",
        "id": "Yang ditambahkan lebih dulu melunasi yang terutang.",
        "es": "Lo que se añada paga primero lo que se debe.",
    },
    AlertKind.REFILL_FAILED: {
        "en": "Check the payment method, or top up by hand meanwhile.",
        "id": "Periksa metode pembayaran, atau isi ulang sendiri untuk sementara.",
        "es": "Revise el medio de pago o, mientras tanto, recargue a mano.",
    },
    AlertKind.REFILL_OFF: {
        "en": "Check the payment method, then set the refill policy again: until then nothing is "
        "refilled.",
        "id": "Periksa metode pembayaran, lalu atur lagi isi ulang otomatis: sampai saat itu tidak "
        "ada yang diisi ulang.",
        "es": "Revise el medio de pago y vuelva a activar la recarga automática: hasta entonces no "
        "se recarga nada.",
    },
    AlertKind.REFILL_CAP: {
        "en": "Raise the cap of the refill policy, or top up by hand meanwhile.",
        "id": "Naikkan batas isi ulang otomatis, atau isi ulang sendiri untuk sementara.",
        "es": "Suba el tope de la recarga automática o, mientras tanto, recargue a mano.",
    },
}

#: What moved the balance.
CAUSES: Final[dict[AlertCause, Words]] = {
    AlertCause.FACT: {"en": "usage", "id": "pemakaian", "es": "consumo"},
    AlertCause.RATED: {
        "en": "usage that was rated late",
        "id": "pemakaian yang terlambat diberi tarif",
        "es": "consumo tarifado más tarde",
    },
    AlertCause.TOP_UP: {"en": "a top-up", "id": "isi ulang", "es": "una recarga"},
    AlertCause.ADJUSTMENT: {"en": "an adjustment", "id": "penyesuaian", "es": "un ajuste"},
    AlertCause.REFUND: {"en": "a refund", "id": "pengembalian dana", "es": "una devolución"},
    AlertCause.PLAN: {
        "en": "another plan or allowance",
        "id": "paket atau jatah lain",
        "es": "otro plan o cupo",
    },
    AlertCause.TIME: {
        "en": "something began or expired",
        "id": "ada yang mulai atau berakhir masa berlakunya",
        "es": "algo empezó o caducó",
    },
    AlertCause.RESET: {"en": "a new period", "id": "periode baru", "es": "un periodo nuevo"},
    AlertCause.SETTLED: {
        "en": "late usage was settled",
        "id": "pemakaian yang terlambat diperhitungkan",
        "es": "se liquidó consumo tardío",
    },
    AlertCause.PAID_OFF: {
        "en": "what was owed was paid off",
        "id": "yang terutang dilunasi",
        "es": "se pagó lo que se debía",
    },
    AlertCause.THRESHOLDS: {
        "en": "other thresholds were set",
        "id": "ambang lain ditetapkan",
        "es": "se fijaron otros umbrales",
    },
    AlertCause.REFILLS: {
        "en": "the refill policy",
        "id": "aturan isi ulang otomatis",
        "es": "la norma de recarga automática",
    },
    AlertCause.PAYMENT: {"en": "a payment", "id": "pembayaran", "es": "un pago"},
    AlertCause.FORECAST: {"en": "the forecast", "id": "prakiraan", "es": "el pronóstico"},
    AlertCause.INVOICE: {"en": "an invoice", "id": "faktur", "es": "una factura"},
    AlertCause.SUBSCRIPTION: {"en": "a subscription", "id": "langganan", "es": "una suscripción"},
}

#: What stands before a figure.
LABELS: Final[dict[str, Words]] = {
    "at": {"en": "When", "id": "Waktu", "es": "Cuándo"},
    "remaining": {"en": "Left", "id": "Tersisa", "es": "Queda"},
    "base": {"en": "Of", "id": "Dari", "es": "De"},
    "threshold": {"en": "Threshold", "id": "Ambang", "es": "Umbral"},
    "minimum": {"en": "Refilled at", "id": "Diisi ulang pada", "es": "Se recarga con"},
    "cause": {"en": "Moved by", "id": "Penyebab", "es": "Motivo"},
    "meanwhile": {"en": "Meanwhile", "id": "Sementara itu", "es": "Mientras tanto"},
    "reason": {"en": "Why", "id": "Alasan", "es": "Por qué"},
    "added": {"en": "Added", "id": "Ditambahkan", "es": "Añadido"},
    "receipt": {"en": "Receipt", "id": "Kuitansi", "es": "Recibo"},
    "net": {"en": "Net", "id": "Sebelum pajak", "es": "Neto"},
    "tax": {"en": "Tax", "id": "Pajak", "es": "Impuestos"},
    "total": {"en": "Total", "id": "Jumlah", "es": "Importe total"},
    "page": {"en": "Your account", "id": "Akun Anda", "es": "Su cuenta"},
    "alert": {"en": "Alert number", "id": "Nomor pemberitahuan", "es": "Número de aviso"},
}

#: What else is said.
PHRASES: Final[dict[str, Words]] = {
    "subject": {
        "en": "{tenant}: {what}",
        "id": "{tenant}: {what}",
        "es": "{tenant}: {what}",
    },
    "subject_more": {
        "en": "{tenant}: {what}, and {more} more",
        "id": "{tenant}: {what}, dan {more} lainnya",
        "es": "{tenant}: {what} y {more} más",
    },
    "several": {
        "en": "{count} things happened, the first one first.",
        "id": "Ada {count} kejadian, yang pertama lebih dulu.",
        "es": "Pasaron {count} cosas, la primera va primero.",
    },
    "over": {
        "en": "no longer so since {at}, {remaining} left then",
        "id": "tidak lagi demikian sejak {at}, saat itu tersisa {remaining}",
        "es": "ya no es así desde {at}, entonces quedaban {remaining}",
    },
    "days": {
        "en": "{days} days",
        "id": "{days} hari",
        "es": "{days} días",
    },
    "footer": {
        "en": "Sent to {email}, where {tenant} has its alerts mailed. Whoever may change its "
        "billing can remove this address or set its kinds and quiet hours.",
        "id": "Dikirim ke {email}, tempat {tenant} menerima pemberitahuannya. Siapa pun yang boleh "
        "mengubah penagihannya dapat menghapus alamat ini atau mengatur jenis dan jam tenangnya.",
        "es": "Enviado a {email}, donde {tenant} recibe sus avisos. Quien puede cambiar su "
        "facturación puede quitar esta dirección o fijar sus tipos y horas de silencio.",
    },
}
