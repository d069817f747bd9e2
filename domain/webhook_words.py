"""Words of the letter that says that a webhook endpoint was switched off, in every language.

Owns the words, as tables; a template names the values it needs.
"""

from __future__ import annotations

from typing import Final

from domain.sentences import Words

#: What became of the endpoint, and what to do about it.
SWITCHED_OFF: Final[dict[str, Words]] = {
    "heading": {
        "en": "a webhook endpoint was switched off",
        "id": "sebuah endpoint webhook dimatikan",
        "es": "se desactivó un endpoint de webhooks",
    },
    "failing": {
        "en": "For five days each try to post to it failed, so nothing is posted there any more.",
        "id": "Selama lima hari setiap percobaan mengirim ke sana gagal, maka tidak ada lagi yang "
        "dikirim ke sana.",
        "es": "Durante cinco días falló cada intento de enviarle algo; ya no se le envía nada.",
    },
    "gone": {
        "en": "It answered that it is gone (410), so nothing is posted there any more.",
        "id": "Endpoint itu menjawab bahwa ia sudah tidak ada (410), maka tidak ada lagi yang "
        "dikirim ke sana.",
        "es": "Respondió que ya no existe (410); ya no se le envía nada.",
    },
    "advice": {
        "en": "Once it works, switch it on again; what it missed stands in the log of deliveries "
        "for 30 days and can be sent once more.",
        "id": "Setelah berfungsi lagi, nyalakan kembali; yang terlewat tercatat 30 hari dalam log "
        "pengiriman dan dapat dikirim sekali lagi.",
        "es": "Cuando funcione, vuelva a activarlo; lo que se perdió queda 30 días en el registro "
        "de envíos y puede enviarse de nuevo.",
    },
    "url": {"en": "Endpoint", "id": "Endpoint", "es": "Endpoint"},
    "at": {"en": "When", "id": "Waktu", "es": "Cuándo"},
}
