"""Signatures as whoever checks them by Standard Webhooks sees them, and secrets at rest."""

from __future__ import annotations

import base64

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from api.reaching.signatures import SealError, Seals, new_secret, signed
from api.settings import Clock
from api.signing import Signing

BODY = '{"type":"webhook.test","data":{"name":"Škoda 🚗"}}'.encode()


def test_a_checker_of_the_standard_takes_them() -> None:
    secret, now = new_secret(), Clock().now()
    headers = signed("alt_1", BODY, [secret], now)
    assert Webhook(secret).verify(BODY, headers)["type"] == "webhook.test"
    assert headers["webhook-timestamp"] == str(now // 1_000_000)
    for changed in (
        headers | {"webhook-id": "alt_2"},
        headers | {"webhook-timestamp": str(now // 1_000_000 - 1)},
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(BODY, changed)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY + b" ", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(BODY, headers)


def test_while_a_secret_changes_either_checks_them() -> None:
    old, new = new_secret(), new_secret()
    headers = signed("alt_1", BODY, [new, old], Clock().now())
    assert len(headers["webhook-signature"].split(" ")) == 2
    for secret in (old, new):
        Webhook(secret).verify(BODY, headers)


def test_a_secret_is_random_and_long() -> None:
    one, two = new_secret(), new_secret()
    assert one != two
    assert one.startswith("whsec_")
    assert 24 <= len(base64.b64decode(one.removeprefix("whsec_"), validate=True)) <= 64


def test_a_sealed_secret_opens_for_its_tenant_and_installation_alone() -> None:
    secret, seals = new_secret(), Seals(Signing("a secret of this installation, long enough"))
    sealed = seals.seal(7, secret)
    assert secret.removeprefix("whsec_") not in sealed
    assert seals.seal(7, secret) != sealed
    assert seals.open(7, sealed) == secret
    with pytest.raises(SealError):
        seals.open(8, sealed)
    with pytest.raises(SealError):
        Seals(Signing(None)).open(7, sealed)
    with pytest.raises(SealError):
        seals.open(7, "nothing of ours")
