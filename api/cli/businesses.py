"""The businesses of the demo: a shop and a cafe in Jakarta, a call centre in Los Angeles, a clinic
in Bogota.

Owns their numbers, their money and the scenes of their days. Everything here is made up: telephone
numbers are of ranges for fiction or look possible, and belong to nobody we know.
"""

from __future__ import annotations

from api.cli.traffic import Business, Scene, Script

SHOPPER = "+62812550{:05d}"
CALLER = "+1213555{:04d}"
PATIENT = "+57300555{:04d}"
GUEST = "+62812560{:05d}"
ABROAD = ("+525555{:06d}", "+5695550{:04d}", "+1305555{:04d}")


def chat(script: Script, sender: int, contact: str) -> None:
    """A contact writes, somebody answers within minutes, and so on for a while."""
    agent = script.agent()
    from_ad = {"entry": "ad"} if script.picks.random() < 0.1 else {}
    script.received(sender, contact, **from_ad)
    for _ in range(script.picks.randint(1, 3)):
        if script.picks.random() < 0.3:
            script.wait(5, 40)
            script.received(sender, contact)
        script.wait(40, 420)
        script.delivered(sender, contact, category="service", user=agent)
        script.wait(20, 600)
        if script.picks.random() < 0.6:
            script.received(sender, contact)


def shop_chat(script: Script) -> None:
    chat(script, script.picks.randrange(2), script.contact(SHOPPER, 1_300))


def shop_order(script: Script) -> None:
    """An order is confirmed, and later on its way."""
    contact = script.contact(SHOPPER, 2_000)
    template = {"category": "utility", "user": "shop-system"}
    script.delivered(0, contact, 0.6, template="order_confirmed", **template)
    script.wait(1_800, 9_000)
    script.delivered(0, contact, 0.5, template="order_shipped", **template)


def shop_login(script: Script) -> None:
    contact = script.contact(SHOPPER, 2_000)
    script.delivered(0, contact, 0.8, category="authentication", template="login_code")


def shop_broadcast(script: Script) -> None:
    """An offer to many at once; some phones are off, some people answer."""
    first = script.picks.randrange(1_900)
    offer = {"category": "marketing", "template": "weekly_offer", "broadcast": script.run}
    for place in range(90):
        contact = SHOPPER.format(first + place)
        script.wait(0, 2)
        if script.picks.random() < 0.04:
            script.event("message.failed", 0, contact, **offer)
            continue
        script.delivered(0, contact, 0.35, **offer)
        if script.picks.random() < 0.03:
            script.received(0, contact)


def center_call_in(script: Script) -> None:
    """A call comes in; a machine takes it first, and what was said is written down."""
    caller = script.contact(CALLER, 100)
    seconds = script.picks.randint(20, 900)
    if script.picks.random() < 0.5:
        script.event("session.ended", 5, caller, seconds=script.picks.randint(15, 120))
    script.wait(seconds, seconds)
    call = {"direction": "in", "seconds": seconds, "user": script.agent()}
    script.event("call.ended", 2, caller, **call)
    if script.picks.random() < 0.7:
        script.wait(5, 30)
        script.event("session.ended", 4, caller, seconds=seconds)


def center_call_out(script: Script) -> None:
    """Somebody is called; who does not answer gets a voice mail, and perhaps a text."""
    called = script.contact(CALLER, 100)
    call = {"direction": "out", "user": script.agent()}
    if script.picks.random() < 0.6:
        seconds = script.picks.randint(10, 600)
        script.wait(seconds, seconds)
        script.event("call.ended", 2, called, seconds=seconds, **call)
        return
    script.wait(20, 40)
    script.event("call.ended", 2, called, seconds=0, answered=False, **call)
    if script.picks.random() < 0.5:
        script.wait(10, 30)
        script.event("session.ended", 3, called, seconds=script.picks.randint(15, 45))
    if script.picks.random() < 0.5:
        script.wait(60, 600)
        script.delivered(0, called, category="service", segments=script.picks.randint(1, 3))


def center_text(script: Script) -> None:
    contact = script.contact(CALLER, 100)
    script.delivered(0, contact, category="service", segments=script.picks.randint(1, 2))
    if script.picks.random() < 0.4:
        script.wait(30, 900)
        script.received(0, contact)


def center_mail(script: Script) -> None:
    copies = script.picks.choice((1, 1, 1, 2, 5))
    script.event("email.sent", 1, script.contact("customer{}@example.com", 400), quantity=copies)


def clinic_chat(script: Script) -> None:
    """A bot asks what it is about, then somebody takes over."""
    if script.picks.random() < 0.2:
        patient = script.contact(script.picks.choice(ABROAD), 60)
    else:
        patient = script.contact(PATIENT, 700)
    if script.picks.random() < 0.6:
        script.event("session.ended", 5, patient)
    chat(script, 0, patient)


def clinic_reminder(script: Script) -> None:
    """Tomorrow's appointment, on WhatsApp or as a text."""
    patient = script.contact(PATIENT, 900)
    if script.picks.random() < 0.6:
        script.delivered(0, patient, 0.7, category="utility", template="appointment")
        if script.picks.random() < 0.3:
            script.wait(60, 3_000)
            script.received(0, patient)
    else:
        script.delivered(1, patient, category="service", segments=script.picks.randint(1, 2))


def clinic_news(script: Script) -> None:
    first = script.picks.randrange(800)
    news = {"category": "marketing", "template": "health_week", "broadcast": script.run}
    for place in range(60):
        script.wait(0, 2)
        script.delivered(0, PATIENT.format(first + place), 0.4, **news)


def clinic_mail(script: Script) -> None:
    script.event("email.sent", 2, script.contact("paciente{}@example.com", 500))


def clinic_call(script: Script) -> None:
    seconds = script.picks.choice((0, script.picks.randint(20, 400)))
    script.wait(seconds, seconds)
    patient = script.contact(PATIENT, 700)
    call = {"direction": "out", "seconds": seconds, "user": script.agent()}
    script.event("call.ended", 3, patient, **call)


def clinic_video(script: Script) -> None:
    seconds = script.picks.randint(240, 1_500)
    script.wait(seconds, seconds)
    script.event("session.ended", 4, script.contact(PATIENT, 700), seconds=seconds)


def cafe_question(script: Script) -> None:
    chat(script, 0, script.contact(GUEST, 400))


def cafe_order(script: Script) -> None:
    for _ in range(script.picks.randint(1, 2)):
        contact = script.contact(GUEST, 600)
        script.delivered(0, contact, 0.5, category="utility", template="order_ready")
        script.wait(300, 3_000)


def cafe_offer(script: Script) -> None:
    first = script.picks.randrange(500)
    offer = {"category": "marketing", "template": "happy_hour", "broadcast": script.run}
    for place in range(script.picks.randint(8, 30)):
        script.wait(0, 2)
        script.delivered(0, GUEST.format(first + place), 0.35, **offer)


SHOP = Business(
    key="demo-omnichannel",
    name="Toko Demo",
    plan="omnichannel-idr",
    timezone="Asia/Jakarta",
    numbers=(("whatsapp", "+622150500001"), ("whatsapp", "+622150500002")),
    top_ups=(("whatsapp", "25000000"), ("visitors", "500")),
    agents=("dewi", "budi", "sari", "agus"),
    scenes=(
        Scene(name="chat", play=shop_chat, daily=34, opens=8, closes=21),
        Scene(name="order", play=shop_order, daily=24, opens=9, closes=19),
        Scene(name="login", play=shop_login, daily=18, opens=6, closes=23),
        Scene(name="broadcast", play=shop_broadcast, daily=1, opens=10, closes=11, weekdays="13"),
    ),
)

CENTER = Business(
    key="demo-contact-center",
    name="Demo Contact Center",
    plan="contact-center-usd",
    timezone="America/Los_Angeles",
    numbers=(
        ("sms", "+13105550100"),
        ("email", "desk@example.com"),
        ("voice", "+13105550101"),
        ("voicemail", "+13105550102"),
        ("speech_to_text", "transcripts"),
        ("ai_agent", "front-desk"),
    ),
    top_ups=(
        ("email", "100"),
        ("voicemail", "100"),
        ("speech_to_text", "500"),
        ("ai_agent", "500"),
        ("sms", "200"),
        ("voice_inbound", "500"),
        ("voice_outbound", "500"),
    ),
    agents=("alex", "maria", "sam", "taylor", "jordan"),
    scenes=(
        Scene(name="call-in", play=center_call_in, daily=60, opens=7, closes=18),
        Scene(name="call-out", play=center_call_out, daily=60, opens=9, closes=17),
        Scene(name="text", play=center_text, daily=25, opens=9, closes=18),
        Scene(name="mail", play=center_mail, daily=20, opens=7, closes=18),
    ),
)

CLINIC = Business(
    key="demo-service",
    name="Clínica Demo",
    plan="service-usd",
    timezone="America/Bogota",
    numbers=(
        ("whatsapp", "+576015550001"),
        ("sms", "+576015550002"),
        ("email", "citas@example.com"),
        ("voice", "+576015550003"),
        ("video", "consultorio"),
        ("bot", "asistente"),
    ),
    top_ups=(
        ("sms", "100"),
        ("email", "50"),
        ("whatsapp", "250"),
        ("voice_outbound", "200"),
        ("video", "200"),
        ("bot", "200"),
    ),
    agents=("camila", "andres", "lucia"),
    scenes=(
        Scene(name="chat", play=clinic_chat, daily=28, opens=7, closes=19),
        Scene(name="reminder", play=clinic_reminder, daily=40, opens=15, closes=19),
        Scene(name="news", play=clinic_news, daily=1, opens=10, closes=11, weekdays="2"),
        Scene(name="mail", play=clinic_mail, daily=15, opens=8, closes=18),
        Scene(name="call", play=clinic_call, daily=15, opens=8, closes=17),
        Scene(name="video", play=clinic_video, daily=8, opens=8, closes=16),
    ),
)

#: What it uses it pays after the month, so nothing is paid in before.
CAFE = Business(
    key="demo-postpaid",
    name="Kopi Demo",
    plan="postpaid-idr",
    timezone="Asia/Jakarta",
    numbers=(("whatsapp", "+622150500003"),),
    top_ups=(),
    agents=("rina", "joko"),
    scenes=(
        Scene(name="question", play=cafe_question, daily=2, opens=8, closes=20, weekdays="03"),
        Scene(name="order", play=cafe_order, daily=4, opens=9, closes=20, weekdays="0245"),
        Scene(name="offer", play=cafe_offer, daily=1, opens=14, closes=15, weekdays="4"),
    ),
)

BUSINESSES = (SHOP, CENTER, CLINIC, CAFE)
