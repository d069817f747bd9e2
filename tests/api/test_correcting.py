"""Top-ups as they are sold, adjustments and refunds, as a client asks for them and lists them."""

from __future__ import annotations

from typing import Any

from tests.api.conftest import NUMBER_CREATE, Ask

TOP_UP = """
mutation ($i: TopUpCreateInput!) {
  topUpCreate(input: $i) {
    topUp { id lot price { value currency } note } userErrors { field code message }
  }
}"""
ADJUST = """
mutation ($i: AdjustmentCreateInput!) {
  adjustmentCreate(input: $i) {
    adjustment { id balance amount { value } reason lots { lot amount { value } } }
    userErrors { field code }
  }
}"""
REFUND = """
mutation ($i: RefundCreateInput!) {
  refundCreate(input: $i) {
    refund {
      id charge topUp takenBack balance reason amount { value } forfeited { value }
      lots { lot amount { value currency } }
    }
    userErrors { field code }
  }
}"""


async def done(ask: Ask, mutation: str, **given: Any) -> Any:
    """What a mutation made; nobody refused it."""
    (payload,) = (await ask(mutation, i=given))["data"].values()
    assert payload.pop("userErrors") == []
    (made,) = payload.values()
    return made


async def test_a_top_up_says_what_it_costs(ask: Ask, tenants: list[str]) -> None:
    """BA-6: 750 visitors are refused with the reason; an operator may add them all the same."""
    given = {"tenant": "one", "balance": "visitors", "idempotencyKey": "a"}
    answer = await ask(TOP_UP, i={**given, "amount": "750"})
    assert answer["data"]["topUpCreate"] == {
        "topUp": None,
        "userErrors": [{
            "field": "amount", "code": "NOT_WHOLE_PACKS",
            "message": "visitors is sold in packs of 500: write 500 or 1000",
        }],
    }  # fmt: skip
    bought = await done(ask, TOP_UP, **given, amount="1000", note="paid")
    assert (bought["price"], bought["note"]) == ({"value": "600000", "currency": "IDR"}, "paid")
    odd = {**given, "amount": "750"}
    for key, more in (("b", {"asOffered": False}), ("c", {"source": "PROMOTION"})):
        made = await done(ask, TOP_UP, **{**odd, "idempotencyKey": key}, **more)
        assert made["price"] is None


async def test_a_charge_is_refunded_and_says_so(ask: Ask, tenants: list[str]) -> None:
    """BA-8: by its id; the refund names its lots."""
    await ask(
        NUMBER_CREATE, input={"tenant": "one", "channel": "whatsapp", "address": "+6281110000001"}
    )
    money = await done(
        ask, TOP_UP, tenant="one", balance="whatsapp", amount="5000", idempotencyKey="m",
        startsAt="2026-01-01T00:00:00Z",
    )  # fmt: skip
    event = {
        "id": "1", "source": "s", "type": "message.delivered", "time": "2026-10-05T10:00:00+07:00",
        "subject": "one", "data": {
            "number": "+6281110000001", "contact": "+6281110000010", "category": "marketing",
            "template": "x",
        },
    }  # fmt: skip
    await ask("mutation ($e: [CloudEvent!]!) { usageRecord(input: {events: $e}) "
              "{ results { status } } }", e=[event])  # fmt: skip
    charges = '{ tenant(key: "one") { charges { nodes { id refunded { value } } } } }'
    (charge,) = (await ask(charges))["data"]["tenant"]["charges"]["nodes"]
    assert charge["refunded"] == {"value": "0"}

    refund = await done(
        ask, REFUND, tenant="one", charge=charge["id"], amount="86.33", reason="by mistake",
        idempotencyKey="r",
    )  # fmt: skip

    assert refund.pop("id").startswith("ref_")
    assert refund == {
        "charge": charge["id"], "topUp": None, "takenBack": False, "balance": "whatsapp",
        "reason": "by mistake", "amount": {"value": "86.33"}, "forfeited": {"value": "0"},
        "lots": [{"lot": money["lot"], "amount": {"value": "86.33", "currency": "IDR"}}],
    }  # fmt: skip
    (charge,) = (await ask(charges))["data"]["tenant"]["charges"]["nodes"]
    assert charge["refunded"] == {"value": "86.33"}
    # Another tenant has no such charge, and no such top-up.
    for what in ({"charge": charge["id"]}, {"topUp": money["id"]}):
        given = {"tenant": "two", "reason": "x", "idempotencyKey": "r", **what}
        answer = await ask(REFUND, i=given)
        assert [e["code"] for e in answer["data"]["refundCreate"]["userErrors"]] == ["NOT_FOUND"]


async def test_what_people_did_is_listed(ask: Ask, tenants: list[str]) -> None:
    """Newest first, page by page, each kind apart; another tenant's are not there."""
    for n in range(3):
        await done(
            ask, ADJUST, tenant="one", balance="whatsapp", amount=f"-{n + 1}", reason=f"r{n}",
            idempotencyKey=f"{n}",
        )  # fmt: skip
    top = await done(ask, TOP_UP, tenant="one", balance="whatsapp", amount="50", idempotencyKey="t")
    await done(ask, REFUND, tenant="one", topUp=top["id"], takenBack=True, reason="fraud",
               idempotencyKey="x")  # fmt: skip
    query = """
    query ($after: String) {
      tenant(key: "one") {
        adjustments(first: 2, after: $after) {
          nodes { reason amount { value } } edges { cursor } pageInfo { hasNextPage endCursor }
        }
        topUps { nodes { id } }
        refunds { nodes { topUp takenBack amount { value } } }
      }
    }"""
    first = (await ask(query))["data"]["tenant"]
    page = first["adjustments"]
    assert [node["reason"] for node in page["nodes"]] == ["r2", "r1"]
    assert page["pageInfo"] == {"hasNextPage": True, "endCursor": page["edges"][-1]["cursor"]}
    rest = (await ask(query, after=page["pageInfo"]["endCursor"]))["data"]["tenant"]["adjustments"]
    assert rest["nodes"] == [{"reason": "r0", "amount": {"value": "-1"}}]
    assert not rest["pageInfo"]["hasNextPage"]
    assert first["topUps"]["nodes"] == [{"id": top["id"]}]
    assert first["refunds"]["nodes"] == [
        {"topUp": top["id"], "takenBack": True, "amount": {"value": "50"}}
    ]
    other = await ask(query.replace('"one"', '"two"'))
    assert all(not part["nodes"] for part in other["data"]["tenant"].values())
    wrong = await ask(query, after="x")
    assert wrong["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_only_an_operator_changes_balances(ask: Ask, tenants: list[str], key_of: Any) -> None:
    """BA-8: and an adjustment needs a reason."""
    key = await key_of("one", "billing:write", "billing:read")
    given = {"tenant": "one", "balance": "whatsapp", "amount": "1", "idempotencyKey": "k"}
    asked = [
        (ADJUST, {**given, "reason": "x"}),
        (REFUND, {"tenant": "one", "topUp": "top_x", "reason": "x", "idempotencyKey": "k"}),
    ]
    for mutation, input in asked:
        answer = await ask(mutation, i=input, key=key)
        assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    for change, field in (
        ({"reason": ""}, "reason"), ({"reason": " \n"}, "reason"), ({"amount": "0"}, "amount"),
        ({"reason": "x" * 1001}, "reason"), ({"balance": "nothing"}, "balance"),
        ({"tenant": "nobody"}, "tenant"), ({"idempotencyKey": ""}, "idempotencyKey"),
    ):  # fmt: skip
        answer = await ask(ADJUST, i={**given, "reason": "x", **change})
        assert [e["field"] for e in answer["data"]["adjustmentCreate"]["userErrors"]] == [field]
