"""Before a send: what `POST /v1/authorize` and `authorize` grant, refuse and set aside (OC-1)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from domain.periods import DAY, iso
from tests.api.conftest import Json
from tests.api.senders import (
    MAIL,
    OCTOBER,
    SECOND,
    SMS,
    VOICE,
    WHATSAPP,
    Shop,
    contact,
    shops,
)
from tests.conftest import Database

UTILITY = {"category": "utility"}
PRICE = "356.65"


@pytest.fixture
async def empty(database: Database, redis_url: str) -> AsyncIterator[Shop]:
    """An application of nobody."""
    async with shops(database, redis_url) as shop:
        yield shop


@pytest.fixture
async def shop(empty: Shop) -> Shop:
    """A shop on WhatsApp."""
    await empty.opened("omnichannel-idr", ("whatsapp", WHATSAPP))
    return empty


@pytest.fixture
async def centre(empty: Shop) -> Shop:
    """A contact centre with a balance of money for each service."""
    await empty.opened("contact-center-usd", ("sms", SMS), ("email", MAIL), ("voice", VOICE))
    return empty


async def setting(shop: Shop, **fields: Any) -> None:
    await shop.do("sendingSet", tenant="shop", reason="of a test", **fields)


async def status(shop: Shop, name: str) -> None:
    await shop.do("tenantStatusSet", tenant="shop", status=name, reason="of a test")


# What is granted, and what is not.


async def test_a_grant_says_all_there_is_to_say(shop: Shop) -> None:
    """OC-2: held at once, at most what it can cost, and until when."""
    await shop.top_up("1000")
    answer = await shop.granted(**UTILITY)

    hold = answer.pop("hold")
    assert hold.startswith("hld_")
    assert answer == {
        "granted": True, "expiresAt": iso(OCTOBER + 600 * SECOND), "recipients": 1,
        "price": PRICE, "balance": "whatsapp", "currency": "IDR", "remaining": "643.35",
        "low": False,
        "charges": [{
            "balance": "whatsapp", "units": "1", "amount": PRICE, "currency": "IDR",
            "category": "utility", "rule": "omnichannel-idr@2026-10-01/utility",
        }],
    }  # fmt: skip
    assert await shop.figures() == ("0", PRICE, "643.35")

    charged = await shop.delivered(1, category="utility", template="t", hold=hold)

    assert charged["charges"][0]["amount"] == PRICE
    assert await shop.figures() == (PRICE, "0", "643.35")


async def test_reasons_come_in_their_order(shop: Shop) -> None:
    """OC-1: where several reasons hold, the first is told; amounts with it where they say why."""
    await setting(shop, recipientsMax=9, caps=[{"balance": "whatsapp", "day": "0"}])
    members = {"id": "family", "members": [contact(each) for each in range(9)]}
    unknown = {"recipients": [contact(each) for each in range(10)], "category": "loyalty"}
    marketing = {"category": "marketing"}
    table: list[tuple[str, Json, str]] = [
        ("SUSPENDED", {"group": members}, "tenant_suspended"),
        ("BLOCKED", {"group": members}, "blocked"),
        ("ACTIVE", {"group": members}, "window_closed"),
        ("ACTIVE", unknown, "unrated"),
        ("ACTIVE", marketing | {"group": members}, "limit_reached"),
        ("ACTIVE", unknown | marketing, "limit_reached"),
        ("ACTIVE", marketing, "limit_reached"),
    ]
    for name, fields, reason in table:
        await status(shop, name)
        answer = await shop.authorize(**fields)
        assert (answer["granted"], answer["reason"]) == (False, reason), fields
        assert answer["message"]
        assert "hold" not in answer
    assert answer["required"] == "586.33"
    assert (answer["available"], answer["shortfall"]) == ("0", "586.33")

    await setting(shop, caps=[])
    answer = await shop.authorize(**marketing)
    assert answer.pop("message")
    assert answer == {
        "granted": False, "reason": "insufficient_balance", "recipient": 0, "balance": "whatsapp",
        "currency": "IDR", "required": "586.33", "available": "0", "shortfall": "586.33",
        "refillPending": False,
    }  # fmt: skip
    assert await shop.figures() == ("0", "0", "0")


async def test_a_reason_names_the_recipient_by_its_place_in_the_request(shop: Shop) -> None:
    """Who stands twice counts once, and places stay those of the list."""
    await shop.wrote(1)
    recipients = [contact(1), contact(1), contact(2)]
    answer = await shop.authorize(recipients=recipients)
    assert (answer["reason"], answer["recipient"]) == ("window_closed", 2)

    await shop.top_up("360")
    answer = await shop.authorize(recipients=recipients, **UTILITY)
    assert (answer["reason"], answer["recipient"]) == ("insufficient_balance", 2)
    assert (answer["required"], answer["shortfall"]) == ("713.3", "353.3")


@pytest.mark.parametrize("span", ["day", "month"])
async def test_a_cap_counts_what_was_used_and_what_is_held(shop: Shop, span: str) -> None:
    """OC-1: per local day or month, of what was sent in it and what may be."""
    await shop.top_up("10000")
    await setting(shop, caps=[{"balance": "whatsapp", span: "1000"}])
    await shop.delivered(1, category="utility", template="t")
    held = await shop.granted(**UTILITY)

    answer = await shop.authorize(**UTILITY)

    assert (answer["reason"], answer["available"]) == ("limit_reached", "286.7")
    assert span in answer["message"]
    await shop.mutate("holdRelease", "released", tenant="shop", hold=held["hold"])
    await shop.granted(**UTILITY)
    shop.clock.at += DAY  # the hold expired, too; the day before is not of this day
    assert (await shop.authorize(**UTILITY))["granted"]
    assert (await shop.authorize(**UTILITY))["granted"] == (span == "day")


async def test_free_text_costs_a_conversation_once(shop: Shop) -> None:
    """PR-9: what opens a conversation takes a unit; what is said inside it is free, and granted
    where nothing is left at all."""
    await shop.take(999)
    await shop.wrote(1, 2)
    first = await shop.granted()
    assert (first["price"], first["balance"], first["remaining"]) == ("1", "conversations", "0")
    await shop.delivered(1, hold=first["hold"])
    assert await shop.figures("conversations") == ("1", "0", "0")

    inside = await shop.granted()
    assert inside["price"] == "0"
    assert await shop.figures("conversations") == ("1", "0", "0")

    # Another contact's conversation has no unit to pay it: one message of the free count (PR-4).
    free = await shop.granted(contact=contact(2))
    assert (free["price"], free["balance"]) == ("0", "whatsapp")


async def test_two_holds_of_one_contact(shop: Shop) -> None:
    """OC-8: two open authorisations to one contact hold 2 conversations and commit 1."""
    await shop.wrote(1)
    holds = [(await shop.granted())["hold"] for _ in range(2)]
    assert await shop.figures("conversations") == ("0", "2", "998")

    assert (await shop.delivered(1, hold=holds[0]))["charges"][0]["amount"] == "1"
    assert await shop.figures("conversations") == ("1", "1", "998")
    assert (await shop.delivered(1, hold=holds[1]))["charges"][0]["amount"] == "0"
    assert await shop.figures("conversations") == ("1", "0", "999")


async def test_holds_reserve_free_counts(shop: Shop) -> None:
    """OC-8, PR-4: with 999 used and one free hold open, the next is priced."""
    await shop.take(1_000)
    await shop.wrote(1)
    sent = ("message.delivered", {"contact": contact(1)})
    await shop.record(*[sent] * 999)
    assert (await shop.granted())["price"] == "0"

    answer = await shop.authorize()
    assert (answer["reason"], answer["required"]) == ("insufficient_balance", PRICE)
    await shop.top_up("356.65")
    priced = await shop.granted()
    assert (priced["price"], priced["remaining"]) == (PRICE, "0")

    shop.clock.at += 600 * SECOND  # both expired: one is free again
    assert [each.get("price") for each in [await shop.authorize() for _ in range(3)]] == [
        "0", PRICE, None,
    ]  # fmt: skip


async def test_a_group_is_covered_whole_or_refused(shop: Shop) -> None:
    """PR-8: 8 x 356.65 = 2,853.20 against 2,853.19 is refused; more than 8 members are."""
    group = {"id": "family", "members": [contact(each) for each in range(8)]}
    await shop.top_up("2853.19")
    answer = await shop.authorize(group=group, **UTILITY)
    assert (answer["required"], answer["available"]) == ("2853.2", "2853.19")
    assert answer["shortfall"] == "0.01"

    await shop.top_up("0.01")
    answer = await shop.granted(group=group, **UTILITY)
    assert (answer["price"], answer["recipients"], answer["remaining"]) == ("2853.2", 8, "0")

    group["members"] = [contact(each) for each in range(9)]
    answer = await shop.authorize(group=group, **UTILITY)
    assert answer["reason"] == "limit_reached"
    assert answer["message"].startswith("9 members are more than 8")


async def test_a_broadcast_is_all_or_nothing_or_the_longest_beginning(shop: Shop) -> None:
    """OC-5: one hold; with allowPartial of as many of the list as can be paid."""
    recipients = [contact(each) for each in (1, 2, 2, 3, 4)]
    await shop.top_up("1069.96")
    answer = await shop.authorize(recipients=recipients, **UTILITY)
    assert (answer["reason"], answer["required"]) == ("insufficient_balance", "1426.6")
    assert await shop.figures() == ("0", "0", "1069.96")

    answer = await shop.granted(recipients=recipients, allowPartial=True, **UTILITY)

    assert (answer["recipients"], answer["price"], answer["remaining"]) == (3, "1069.95", "0.01")
    assert await shop.figures() == ("0", "1069.95", "0.01")
    none = await shop.authorize(recipients=recipients, allowPartial=True, **UTILITY)
    assert none["reason"] == "insufficient_balance"
    for each in (1, 2, 3):
        await shop.delivered(each, category="utility", template="t", hold=answer["hold"])
    assert await shop.figures() == ("1069.95", "0", "0.01")


async def test_more_recipients_than_may_be(shop: Shop) -> None:
    """OC-1: who stands twice counts once; nobody is none."""
    await setting(shop, recipientsMax=2)
    await shop.top_up("1000")
    twice = [contact(1), contact(2), contact(1)]
    assert (await shop.granted(recipients=twice, **UTILITY))["recipients"] == 2
    answer = await shop.authorize(recipients=[*twice, contact(3)], **UTILITY)
    assert answer["reason"] == "limit_reached"
    assert answer["message"].startswith("3 recipients are more than 2")
    await setting(shop, recipientsMax=1)
    answer = await shop.authorize(recipients=twice, **UTILITY)
    assert answer["reason"] == "limit_reached"
    answer = await shop.authorize(recipients=[], **UTILITY)
    assert (answer["reason"], answer["path"]) == ("invalid_field", "recipients")


async def test_low_is_by_what_is_available(shop: Shop) -> None:
    """AL-4: holds raise no alert; `low` says that available is below the threshold, 400 here."""
    await shop.take(598)
    await shop.wrote(1)
    assert [(await shop.granted())["low"] for _ in range(3)] == [False, False, True]
    assert (await shop.graphql('{ tenant(key: "shop") { alerts { nodes { kind } } } }'))["tenant"][
        "alerts"
    ]["nodes"] == []


# Other channels.


async def test_a_call_is_authorised_a_minute_at_a_time(centre: Shop) -> None:
    """OC-3: the seconds of a call go on under a new hold that takes the place of the old."""
    await centre.top_up("1", "voice_outbound")
    call = {"number": VOICE, "contact": "+12025550177"}
    first = await centre.granted(**call)
    assert (first["price"], first["remaining"]) == ("0.0145", "0.9855")

    second = await centre.granted(**call, hold=first["hold"], units=120)

    assert (second["price"], second["remaining"]) == ("0.029", "0.971")
    assert await centre.figures("voice_outbound") == ("0", "0.029", "0.971")
    await centre.do("holdRelease", tenant="shop", hold=first["hold"])
    assert await centre.figures("voice_outbound") == ("0", "0.029", "0.971")
    centre.clock.at += 100 * SECOND
    await centre.record(("call.ended", {
        **call, "direction": "out", "seconds": 90, "answered": True, "hold": second["hold"],
    }))  # fmt: skip
    assert await centre.figures("voice_outbound") == ("0.02175", "0", "0.97825")


async def test_segments_and_mails(centre: Shop) -> None:
    """SM-1: an SMS is held by its segments, e-mail by the piece."""
    await centre.top_up("1", "sms")
    await centre.top_up("1", "email")
    sms = {"number": SMS, "contact": "+12025550177"}
    assert (await centre.granted(**sms, text="x" * 307))["price"] == "0.0375"
    assert (await centre.granted(**sms, units=3))["price"] == "0.0375"
    mail = {"number": MAIL, "recipients": ["ana@example.com", "bob@example.com"]}
    assert (await centre.granted(**mail))["price"] == "0.002"
    assert (await centre.granted(**mail, units=10))["price"] == "0.02"
    wrong = await centre.authorize(**sms, hold="hld_x")
    assert (wrong["reason"], wrong["path"]) == ("invalid_field", "hold")


@pytest.mark.parametrize(
    ("channel", "price"), [("voicemail", "0.01"), ("speech_to_text", "0.024"), ("ai_agent", "0.09")]
)
async def test_sessions_are_held_by_the_minute(empty: Shop, channel: str, price: str) -> None:
    await empty.opened("contact-center-usd", (channel, VOICE))
    await empty.top_up("1", channel)
    await setting(empty, callSeconds=30)
    session = {"number": VOICE, "contact": "+12025550177"}
    half = await empty.granted(**session)
    whole = await empty.granted(**session, units=60)
    assert (float(half["price"]) * 2, whole["price"]) == (float(price), price)
    await empty.record(("session.ended", session | {"seconds": 60, "hold": whole["hold"]}))
    assert await empty.figures(channel) == (price, half["price"], str(whole["remaining"]))


# Keys.


AUTHORIZE = """mutation ($input: AuthorizeInput!) { authorize(input: $input) {
  granted hold { id expiresAt recipients } price { value currency } balance
  remaining { value currency } low
  charges { balance units amount { value currency } category rule }
  refusal { reason message recipient balance required { value currency } available { value }
    shortfall { value } refillPending }
  userErrors { field code message } } }"""


async def over_graphql(shop: Shop, send: Json) -> Json:
    given = {("idempotencyKey" if name == "key" else name): send[name] for name in send}
    answer: Json = (await shop.graphql(AUTHORIZE, input=given))["authorize"]
    return answer


def as_rest(answer: Json) -> Json:
    """What REST says where GraphQL says this."""
    found: Json = {"granted": answer["granted"]}
    if answer["hold"] is not None:
        hold = answer["hold"]
        found |= {"hold": hold["id"], "expiresAt": hold["expiresAt"],
                  "recipients": hold["recipients"]}  # fmt: skip
        found |= {"balance": answer["balance"], "price": answer["price"]["value"],
                  "currency": answer["price"]["currency"]}  # fmt: skip
        if answer["remaining"] is not None:
            found |= {"remaining": answer["remaining"]["value"], "low": answer["low"]}
        found["charges"] = [
            each | {"amount": each["amount"]["value"], "currency": each["amount"]["currency"]}
            for each in answer["charges"]
        ]
    if answer["refusal"] is not None:
        refusal = {name: value for name, value in answer["refusal"].items() if value is not None}
        refusal["reason"] = refusal["reason"].lower()
        if "required" in refusal:
            refusal["currency"] = refusal["required"]["currency"]
        found |= {
            name: value["value"] if isinstance(value, dict) else value
            for name, value in refusal.items()
        }
    for error in answer["userErrors"]:
        path = {"idempotencyKey": "key"}.get(error["field"], error["field"])
        found |= {"reason": error["code"].lower(), "message": error["message"], "path": path}
    return found


async def test_both_surfaces_say_the_same(shop: Shop) -> None:
    """The same words and figures, and a key is one key over both."""
    await shop.top_up("1000")
    sends = [
        shop.send(**UTILITY), shop.send(contact=contact(1)), shop.send(category="loyalty"),
        shop.send(category="marketing", recipients=[contact(1), contact(2)]),
        shop.send(contact="0811"), shop.send(number="+628119999"), shop.send(key=""),
        shop.send(tenant="other"), shop.send(tenant="nobody"), shop.send(contact=None),
        shop.send(recipients=[contact(1), "x"], **UTILITY), shop.send(units=2),
        shop.send(group={"id": "g", "members": ["x"]}), shop.send(hold="hld_x"),
    ]  # fmt: skip
    for send in sends:
        rest = (await shop.post(send)).json()
        assert as_rest(await over_graphql(shop, send)) == rest, send
        assert rest["granted"] or rest["message"]
    assert await shop.figures() == ("0", PRICE, "643.35")


async def test_a_key_is_granted_once(shop: Shop) -> None:
    """OC-3: the same key gives the same answer, at once or later, before and after its end."""
    await shop.top_up("1000")
    send = shop.send(**UTILITY)
    many = await asyncio.gather(*(shop.post(send) for _ in range(10)))
    answers = [each.json() for each in many]
    assert all(each == answers[0] for each in answers)
    assert await shop.many([send] * 3) == [answers[0]] * 3
    assert await shop.figures() == ("0", PRICE, "643.35")

    other = await shop.authorize(**send | {"category": "marketing"})
    assert (other["granted"], other["reason"], other["path"]) == (
        False, "idempotency_key_reused", "key",
    )  # fmt: skip

    # A key is a tenant's own, whether it is named or the credential says it.
    secret = (await shop.mutate("apiKeyCreate", "secret", tenant="shop", name="k",
                                scopes=["send:authorize"]))["secret"]  # fmt: skip
    del send["tenant"]
    mine = await shop.client.post(
        "/v1/authorize", json=send, headers={"authorization": f"Bearer {secret}"}
    )
    assert mine.json() == answers[0]

    hold = answers[0]["hold"]
    await shop.delivered(1, category="utility", template="t", hold=hold)
    assert await shop.authorize(**send) == answers[0]
    assert (await shop.authorize(**send | {"category": "marketing"}))["reason"] == other["reason"]
    assert await shop.figures() == (PRICE, "0", "643.35")


async def test_a_hold_is_given_up_once(shop: Shop) -> None:
    """OC-3: ends are final; another tenant's hold is none, nor is one that was altered."""
    await shop.top_up("1000")
    hold = (await shop.granted(**UTILITY))["hold"]
    wanted = "released amounts { balance amount { value currency } }"
    altered = hold[:20] + ("A" if hold[20] != "A" else "B") + hold[21:]
    for tenant, id in (
        ("other", hold),
        ("nobody", hold),
        ("shop", altered),
        ("shop", ""),
        ("shop", "hld_é"),
    ):
        answer = await shop.mutate("holdRelease", wanted, tenant=tenant, hold=id)
        assert (answer["released"], answer["amounts"]) == (False, [])
        assert [each["code"] for each in answer["userErrors"]] == ["NOT_FOUND"]
    assert await shop.figures() == ("0", PRICE, "643.35")

    answer = await shop.mutate("holdRelease", wanted, tenant="shop", hold=hold)
    assert answer == {
        "released": True, "userErrors": [],
        "amounts": [{"balance": "whatsapp", "amount": {"value": PRICE, "currency": "IDR"}}],
    }  # fmt: skip
    assert await shop.figures() == ("0", "0", "1000")
    again = await shop.mutate("holdRelease", wanted, tenant="shop", hold=hold)
    assert again == {"released": False, "amounts": [], "userErrors": []}


async def test_a_hold_expires_at_its_instant(shop: Shop) -> None:
    """OC-3: what it set aside is there again at that instant, and not a microsecond before."""
    await shop.top_up(PRICE)
    hold = (await shop.granted(**UTILITY))["hold"]
    shop.clock.at += 600 * SECOND - 1
    assert not (await shop.authorize(**UTILITY))["granted"]
    shop.clock.at += 1
    assert await shop.figures() == ("0", "0", PRICE)
    answer = await shop.mutate("holdRelease", "released", tenant="shop", hold=hold)
    assert not answer["released"]
    audit = '{ tenant(key: "shop") { audit { nodes { what } } } }'
    left = (await shop.graphql(audit))["tenant"]["audit"]["nodes"]
    assert {"what": "holdRelease"} not in left, "it changed nothing"
    assert (await shop.authorize(**UTILITY))["granted"]


async def test_what_was_sent_is_held_longer_and_can_be_given_up(shop: Shop) -> None:
    """OC-3: `message.sent` extends its share to a day; the rest of the hold expires without it."""
    await shop.top_up("1000")
    two = {"recipients": [contact(1), contact(2)]}
    hold = (await shop.granted(**two, **UTILITY))["hold"]
    await shop.record(("message.sent", {
        "contact": contact(1), "category": "utility", "template": "t", "hold": hold,
    }))  # fmt: skip
    shop.clock.at += 600 * SECOND
    assert await shop.figures() == ("0", PRICE, "643.35")
    answer = await shop.mutate(
        "holdRelease", "released amounts { amount { value } }", tenant="shop", hold=hold
    )
    assert answer["released"]
    assert answer["amounts"] == [{"amount": {"value": PRICE}}]
    assert await shop.figures() == ("0", "0", "1000")


async def test_a_thousand_in_one_request(shop: Shop) -> None:
    """OC-2: each for itself, in order; no more than there is."""
    await shop.top_up("48861.05")  # 137 of them
    answers = await shop.many([shop.send(**UTILITY, contact=contact(n)) for n in range(1_000)])
    assert [each["granted"] for each in answers] == [True] * 137 + [False] * 863
    assert len({each["hold"] for each in answers[:137]}) == 137
    assert {each["reason"] for each in answers[137:]} == {"insufficient_balance"}
    assert await shop.figures() == ("0", "48861.05", "0")


async def test_a_plan_that_changed_meanwhile(empty: Shop) -> None:
    """What is asked is decided and told by the terms of now, whoever remembers others."""
    await empty.opened("whatsapp-idr", ("whatsapp", WHATSAPP))
    await empty.top_up("1000")
    await empty.wrote(1)
    assert (await empty.granted(**UTILITY))["balance"] == "whatsapp"
    await empty.do("planChange", tenant="shop", plan="omnichannel-idr", idempotencyKey="p")
    answer = await empty.granted()
    assert (answer["balance"], "currency" in answer) == ("conversations", False)
