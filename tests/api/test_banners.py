"""Banners: every kind of alert in every language, and how to top up (AL-6)."""

from __future__ import annotations

from typing import Any

import pytest

from api.faults import Fault
from api.schema.banner import BannerWords, Said
from api.schema.how_to_top_up import HowToTopUp
from api.schema.wording import language_of
from domain.billing_alerts import OF_INVOICES
from domain.periods import DAY
from domain.plans import Plan, PlanError, parse_plan
from domain.sentences import OF_NOTICES
from domain.watch import ALL, OWED, AlertKind, Measure, Threshold
from tests.domain.spine import BOOKS, UNIT, sample

LOW = Threshold(Measure.PERCENT, 40 * UNIT)
ZERO = Threshold(Measure.PERCENT, 0)
UNITS = Threshold(Measure.UNITS, 250 * UNIT)

#: 2026-11-20 05:00 in UTC.
FRIDAY = 1_795_150_800_000_000
FORECAST = (AlertKind.RUNNING_OUT,)
DAYS = Threshold(Measure.DAYS, 3 * UNIT)
ALL_OF_IT = Threshold(Measure.WHOLE, 5_000 * UNIT)

DOWN, UP = AlertKind.THRESHOLD, AlertKind.RECOVERED

#: Balance, kind, threshold, what is left, of what: the sentence in English, Indonesian and Spanish.
TABLE = [
    ("whatsapp", DOWN, LOW, "380000", "1000000",
     "WhatsApp balance is at 38 %: IDR 380,000 of IDR 1,000,000 left.",
     "WhatsApp balance tinggal 38%: tersisa Rp 380.000 dari Rp 1.000.000.",
     "WhatsApp balance: queda el 38 %, 380.000 IDR de 1.000.000 IDR."),
    ("visitors", DOWN, LOW, "399.999", "1000",
     "Monthly unique visitors: 39.99 % left, 399.999 of 1,000.",
     "Monthly unique visitors: tersisa 39,99%, 399,999 dari 1.000.",
     "Monthly unique visitors: queda el 39,99 %, 399,999 de 1.000."),
    ("whatsapp", DOWN, UNITS, "7.9", "0",
     "WhatsApp balance: only IDR 7 left.",
     "WhatsApp balance: hanya tersisa Rp 7.",
     "WhatsApp balance: quedan solo 7 IDR."),
    ("whatsapp", AlertKind.EXHAUSTED, ZERO, "0", "1000000",
     "WhatsApp balance: used up, nothing is left of IDR 1,000,000.",
     "WhatsApp balance: habis, tidak ada yang tersisa dari Rp 1.000.000.",
     "WhatsApp balance: agotado, no queda nada de 1.000.000 IDR."),
    ("whatsapp", DOWN, LOW, "-5", "0",
     "WhatsApp balance: used up, nothing is left.",
     "WhatsApp balance: habis, tidak ada yang tersisa.",
     "WhatsApp balance: agotado, no queda nada."),
    ("visitors", AlertKind.OVERDRAWN, OWED, "-1200", "1000",
     "Monthly unique visitors: overdrawn, 1,200 is owed.",
     "Monthly unique visitors: minus, terutang 1.200.",
     "Monthly unique visitors: en descubierto, se deben 1.200."),
    ("visitors", UP, LOW, "400", "1000",
     "Monthly unique visitors: no longer low, 400 left.",
     "Monthly unique visitors: tidak lagi rendah, tersisa 400.",
     "Monthly unique visitors: ya no está bajo, quedan 400."),
    ("visitors", UP, OWED, "0", "1000",
     "Monthly unique visitors: no longer overdrawn.",
     "Monthly unique visitors: tidak lagi minus.",
     "Monthly unique visitors: ya no está en descubierto."),
    ("visitors", UP, LOW, "380", "1000",
     "Monthly unique visitors: no longer watched for 40 %, 380 left.",
     "Monthly unique visitors: tidak lagi dipantau pada 40%, tersisa 380.",
     "Monthly unique visitors: ya no se vigila en 40 %, quedan 380."),
    ("visitors", UP, UNITS, "249", "1000",
     "Monthly unique visitors: no longer watched for 250, 249 left.",
     "Monthly unique visitors: tidak lagi dipantau pada 250, tersisa 249.",
     "Monthly unique visitors: ya no se vigila en 250, quedan 249."),
    ("visitors", AlertKind.RUNNING_OUT, DAYS, "249", "2.5",
     "Monthly unique visitors is forecast to run out Sunday 22 November 17:00: 249 left.",
     "Monthly unique visitors diperkirakan habis Minggu 22 November pukul 17.00: tersisa 249.",
     "Monthly unique visitors: se prevé que se agote el domingo 22 de noviembre a las 17:00, "
     "quedan 249."),
    ("visitors", AlertKind.RUNNING_OUT, DAYS, "0", "0",
     "Monthly unique visitors: used up, nothing is left.",
     "Monthly unique visitors: habis, tidak ada yang tersisa.",
     "Monthly unique visitors: agotado, no queda nada."),
    ("visitors", UP, DAYS, "249", "9",
     "Monthly unique visitors is no longer forecast to run out soon, 249 left.",
     "Monthly unique visitors tidak lagi diperkirakan segera habis, tersisa 249.",
     "Monthly unique visitors: ya no se prevé que se agote pronto, quedan 249."),
    ("whatsapp", AlertKind.REFILL_STARTED, ALL_OF_IT, "5000", "0",
     "WhatsApp balance: IDR 5,000 left, and its refill is being paid.",
     "WhatsApp balance: tersisa Rp 5.000, isi ulang otomatisnya sedang dibayar.",
     "WhatsApp balance: quedan 5.000 IDR y se está pagando su recarga automática."),
    ("whatsapp", AlertKind.REFILL_SUCCEEDED, ALL_OF_IT, "5000", "0",
     "WhatsApp balance was refilled, IDR 5,000 left.",
     "WhatsApp balance sudah diisi ulang otomatis, tersisa Rp 5.000.",
     "WhatsApp balance: recarga automática hecha, quedan 5.000 IDR."),
    ("whatsapp", AlertKind.REFILL_FAILED, ALL_OF_IT, "5000", "0",
     "WhatsApp balance: its refill could not be paid, IDR 5,000 left.",
     "WhatsApp balance: isi ulang otomatisnya tidak dapat dibayar, tersisa Rp 5.000.",
     "WhatsApp balance: no se pudo pagar la recarga automática, quedan 5.000 IDR."),
    ("whatsapp", AlertKind.REFILL_OFF, ALL_OF_IT, "5000", "0",
     "WhatsApp balance is not refilled by itself any more, IDR 5,000 left.",
     "WhatsApp balance tidak lagi diisi ulang otomatis, tersisa Rp 5.000.",
     "WhatsApp balance: ya no se recarga automáticamente, quedan 5.000 IDR."),
    ("whatsapp", AlertKind.REFILL_CAP, ALL_OF_IT, "5000", "0",
     "WhatsApp balance: IDR 5,000 left; a cap of its refills was reached, nothing was charged.",
     "WhatsApp balance: tersisa Rp 5.000; batas isi ulang tercapai, tidak ada yang ditagih.",
     "WhatsApp balance: quedan 5.000 IDR; se alcanzó el tope de recargas, no se cobró nada."),
    ("whatsapp", AlertKind.TOPPED_UP, ALL_OF_IT, "5000", "0",
     "WhatsApp balance was topped up, IDR 5,000 left.",
     "WhatsApp balance sudah diisi ulang, tersisa Rp 5.000.",
     "WhatsApp balance: recargado, quedan 5.000 IDR."),
]  # fmt: skip

#: What the plan says, and what is said of it.
HOW: list[tuple[str, dict[str, Any], dict[str, str] | None, str, str, str]] = [
    ("whatsapp", {"self_service": True}, {"pack": "1", "price": "1", "minimum": "100000"},
     "Top up at least IDR 100,000.", "Isi ulang minimal Rp 100.000.",
     "Recargue al menos 100.000 IDR."),
    ("whatsapp", {"self_service": True}, {"pack": "1", "price": "1"},
     "Top up any amount.", "Isi ulang berapa pun.", "Recargue cualquier importe."),
    ("visitors", {"self_service": True}, {"pack": "500", "price": "300000"},
     "Top up 500 for IDR 300,000.", "Isi ulang 500 seharga Rp 300.000.",
     "Recargue 500 por 300.000 IDR."),
    ("whatsapp", {"self_service": False, "support": "pay@x.example"}, {"pack": "1", "price": "1"},
     "To top up, ask pay@x.example.", "Untuk isi ulang, hubungi pay@x.example.",
     "Para recargar, contacte con pay@x.example."),
    ("whatsapp", {"self_service": True, "support": None}, None,
     "To top up, ask your provider.", "Untuk isi ulang, hubungi penyedia layanan Anda.",
     "Para recargar, contacte con su proveedor."),
]  # fmt: skip


def micros(written: str) -> int:
    return round(float(written) * UNIT)


def plan_of(balance: str = "", offer: dict[str, str] | None = None, **said: Any) -> Plan:
    """The sample plan, with another offer for one balance."""
    document = {**sample("plan-omnichannel-idr"), **said}
    document = {name: value for name, value in document.items() if value is not None}
    for each in document["balances"]:
        if each["balance"] == balance:
            each.pop("top_up")
            each |= {} if offer is None else {"top_up": offer}
    return parse_plan(document, BOOKS["omnichannel-idr"])


def words(tag: str, plan: Plan, balance: str) -> BannerWords:
    return BannerWords(tag, language_of(tag, OF_NOTICES), plan, plan.balance(balance))


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


@pytest.mark.parametrize("row", TABLE, ids=[" ".join(row[5].split()[-4:]) for row in TABLE])
@pytest.mark.parametrize("tag", ["en", "id", "es"])
def test_every_kind_is_told_in_every_language(row: tuple[Any, ...], tag: str) -> None:
    """AL-1, AL-6: a percentage is never shown as one that is not below its threshold."""
    balance, kind, threshold, remaining, base, *sentences = row
    said = Said(
        kind=kind, threshold=threshold, remaining=micros(remaining), base=micros(base),
        # Of a forecast the base is days, and it was told on Friday.
        runs_out_at=FRIDAY + micros(base) * DAY // UNIT if kind in FORECAST else None,
    )  # fmt: skip
    expected = sentences[["en", "id", "es"].index(tag)]
    assert plain(words(tag, plan_of(), balance).notice(said)) == expected


def test_the_table_has_every_kind() -> None:
    """What is of no balance is told by other words: `test_billing_alerts`."""
    of_billing = {*OF_INVOICES, AlertKind.SUBSCRIPTION_ENDING}
    assert {row[1] for row in TABLE} == set(AlertKind) - of_billing


@pytest.mark.parametrize("row", HOW, ids=[row[3] for row in HOW])
def test_how_to_top_up_is_told_in_every_language(row: tuple[Any, ...]) -> None:
    """AL-6: by oneself with the least or a pack, else whom to ask."""
    balance, said, offer, *sentences = row
    plan = plan_of(balance, offer, **said)
    told = [plain(words(tag, plan, balance).how()) for tag in ("en", "id", "es")]
    assert told == sentences
    how = HowToTopUp.of(plan, plan.balance(balance), "en")
    assert how.self_service is (plan.self_service and offer is not None)
    assert how.support_contact == plan.support
    assert (how.pack is None, how.price is None, how.minimum is None) == (offer is None,) * 3
    if offer is not None:
        assert how.pack is not None
        assert how.price is not None
        assert how.minimum is not None
        assert [how.pack.micros, how.price.micros, how.minimum.micros] == [
            micros(offer["pack"]), micros(offer["price"]), micros(offer.get("minimum", "0"))
        ]  # fmt: skip
        assert how.price.currency == how.minimum.currency == "IDR"


def test_figures_follow_the_readers_country() -> None:
    said = Said(kind=DOWN, threshold=LOW, remaining=380_000 * UNIT, base=1_000_000 * UNIT)
    told = words("es-MX", plan_of(), "whatsapp").notice(said)
    assert plain(told) == "WhatsApp balance: queda el 38 %, IDR 380,000 de IDR 1,000,000."
    assert said.remaining * ALL // said.base == 38 * UNIT


def test_what_was_added_is_told_of_too() -> None:
    """AL-1: thresholds are of the allowance, and there may be more."""
    told = [plain(words(tag, plan_of(), "visitors").beside(7 * UNIT)) for tag in ("en", "id", "es")]
    assert told == [
        "Beside it 7 is left of what was added.",
        "Selain itu tersisa 7 dari yang ditambahkan.",
        "Además quedan 7 de lo añadido.",
    ]


def test_there_are_languages_it_is_not_told_in() -> None:
    with pytest.raises(Fault, match="write en, id or es"):
        language_of("fr", OF_NOTICES)
    with pytest.raises(Fault, match="write en or id"):
        language_of("es")


def test_a_plan_says_whom_to_ask() -> None:
    plan = plan_of()
    assert (plan.self_service, plan.support) == (True, "billing@omnichannel.example")
    silent = plan_of(self_service=None, support=None)
    assert (silent.self_service, silent.support) == (False, None)
    with pytest.raises(PlanError) as refused:
        plan_of(self_service="yes", support="")
    assert [each.path for each in refused.value.problems] == ["self_service", "support"]
