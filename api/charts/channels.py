"""What channels are called on a chart, in every language.

Owns names alone: which channels there are is `domain.facts`'.
"""

from __future__ import annotations

from typing import Final

from domain.sentences import Words

CHANNELS: Final[dict[str, Words]] = {
    "whatsapp": {"en": "WhatsApp", "id": "WhatsApp", "es": "WhatsApp"},
    "instagram": {"en": "Instagram", "id": "Instagram", "es": "Instagram"},
    "messenger": {"en": "Messenger", "id": "Messenger", "es": "Messenger"},
    "telegram": {"en": "Telegram", "id": "Telegram", "es": "Telegram"},
    "line": {"en": "LINE", "id": "LINE", "es": "LINE"},
    "livechat": {"en": "Live chat", "id": "Live chat", "es": "Chat en vivo"},
    "sms": {"en": "SMS", "id": "SMS", "es": "SMS"},
    "email": {"en": "E-mail", "id": "Email", "es": "Correo electrónico"},
    "voice": {"en": "Voice", "id": "Suara", "es": "Voz"},
    "video": {"en": "Video", "id": "Video", "es": "Vídeo"},
    "voicemail": {"en": "Voicemail", "id": "Pesan suara", "es": "Buzón de voz"},
    "bot": {"en": "Bot", "id": "Bot", "es": "Bot"},
    "ai_agent": {"en": "AI agent", "id": "Agen AI", "es": "Agente de IA"},
    "speech_to_text": {"en": "Speech to text", "id": "Suara ke teks", "es": "Voz a texto"},
}
