"""What a dry run of refills says, in every language of notices.

Owns the words; what stands in them is given.
"""

from __future__ import annotations

from typing import Final

from domain.sentences import Words

DRY_RUNS: Final[dict[str, Words]] = {
    "never": {
        "en": "{balance} would not have been refilled {when}.",
        "id": "{balance} tidak akan diisi ulang {when}.",
        "es": "{balance} no se habría recargado {when}.",
    },
    "once": {
        "en": "It would have charged once {when}: {total} before tax.",
        "id": "Tagihan akan terjadi satu kali {when}: {total} sebelum pajak.",
        "es": "Se habría cobrado una vez {when}: {total} antes de impuestos.",
    },
    "times": {
        "en": "It would have charged {times} times {when}, {total} in all before tax.",
        "id": "Tagihan akan terjadi {times} kali {when}, seluruhnya {total} sebelum pajak.",
        "es": "Se habría cobrado {times} veces {when}, {total} en total antes de impuestos.",
    },
    "capped": {
        "en": "A cap would have kept refills back {times} times.",
        "id": "Batas akan menahan isi ulang {times} kali.",
        "es": "Un tope habría frenado la recarga {times} veces.",
    },
    "capped_once": {
        "en": "A cap would have kept a refill back once.",
        "id": "Batas akan menahan isi ulang satu kali.",
        "es": "Un tope habría frenado la recarga una vez.",
    },
    "last_month": {
        "en": "last month",
        "id": "bulan lalu",
        "es": "el mes pasado",
    },
    "between": {
        "en": "from {first} to {last}",
        "id": "dari {first} sampai {last}",
        "es": "del {first} al {last}",
    },
}
