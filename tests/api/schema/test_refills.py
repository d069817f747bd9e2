"""What a plan says of refills, and the rates beside them, through the schema."""

from __future__ import annotations

from tests.api.schema.conftest import Ask
from tests.persistence.rows import Rows

MOVE = """
update tenants set plan = 'contact-center-usd', currency = 'USD', locale = 'en-US',
    zones = '[[null, "America/Los_Angeles"]]'
"""


async def test_a_priced_balance_shows_its_rates_and_refill(rows: Rows, ask: Ask) -> None:
    """FI-5: current rates, refill amount and minimum."""
    await rows.connection.execute(MOVE)
    found = await ask(
        'balance(key: "voice_inbound") { unit '
        "refillPolicy { minimum { formatted } amount { value currency } } "
        "rates { rule direction basis price currency } }"
    )
    assert found["balance"] == {
        "unit": "USD",
        "refillPolicy": {
            "minimum": {"formatted": "$30.00"},
            "amount": {"value": "100", "currency": "USD"},
        },
        "rates": [
            {
                "rule": "contact-center-usd@2026-01-01/voice-inbound",
                "direction": "in",
                "basis": "PER_MINUTE",
                "price": "0.0125",
                "currency": "USD",
            }
        ],
    }


async def test_every_balance_of_the_plan_has_both(rows: Rows, ask: Ask) -> None:
    await rows.connection.execute(MOVE)
    found = await ask("balances { key rates { price } refillPolicy { amount { value } } }")
    assert len(found["balances"]) == 7
    for balance in found["balances"]:
        assert balance["rates"], balance
        assert balance["refillPolicy"], balance
