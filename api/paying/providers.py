"""Who collects in this process, by the settings."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from api.paying.midtrans import Midtrans
from api.paying.port import Provider
from api.paying.sandbox import NAME, Sandbox
from api.secrecy import is_near
from api.settings import Settings
from api.signing import Signing
from persistence.door import Door


def open_providers(
    settings: Settings, door: Door, now: Callable[[], int], signing: Signing
) -> tuple[dict[str, Provider], str | None]:
    """The providers by their names, and whose page people are sent to; None: nobody's."""
    address = settings.public_url or ""
    near = is_near(urlsplit(address).hostname or "")
    page = settings.payments or (NAME if near else "none")
    if page == NAME:
        return {NAME: Sandbox(door, signing, now, address)}, NAME
    if page == "none" or settings.midtrans_server_key is None:
        return {}, None
    notices = f"{address}/v1/webhooks/payments/midtrans" if not near else None
    midtrans = Midtrans(settings.midtrans_server_key, settings.midtrans_url, now, notices)
    return {midtrans.name: midtrans}, midtrans.name
