"""Amounts and prices: how they are read, written, multiplied and rounded.

Owns: the fixed-point numbers every figure is made of, and the digits a currency shows. Does not
own: which price applies (books), tax, and how a locale prints a figure.

Amounts, of money and of units alike, are int millionths ("micros"); prices are int of 10^-12
("picos"). There is no float anywhere near them.
"""

import re
from functools import lru_cache

MICRO_DIGITS = 6
PICO_DIGITS = 12
#: What a bigint of millionths holds with room for sums.
INTEGER_DIGITS = 12
MICRO: int = 10**MICRO_DIGITS
PICO: int = 10**PICO_DIGITS

#: How many decimals an invoice prints; our own table, not ISO 4217's: nobody pays in COP cents.
DISPLAY_DIGITS = {
    currency: digits
    for digits, currencies in (
        (0, "BIF CLP COP DJF GNF IDR ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"),
        (2, "AED ARS AUD BDT BGN BOB BRL CAD CHF CNY CRC CZK DKK DOP EGP EUR GBP GHS GTQ HKD HNL"),
        (2, "HUF ILS INR KES KZT LKR MAD MXN MYR NGN NIO NOK NPR NZD PAB PEN PHP PKR PLN QAR RON"),
        (2, "SAR SEK SGD THB TRY TWD TZS UAH USD UYU ZAR ZMW"),
        (3, "BHD IQD JOD KWD LYD OMR TND"),
    )
    for currency in currencies.split()
}

_NUMBER = re.compile(r"([+-]?)([0-9]+)(?:\.([0-9]+))?")


def micros(written: str, *, signed: bool = False) -> int:
    """Millionths of a decimal such as 586.33; ValueError for anything but plain digits."""
    return _scaled(written, MICRO_DIGITS, signed)


def picos(written: str) -> int:
    """A price in 10^-12 of the unit, from a decimal with up to 12 decimals; never negative."""
    return _scaled(written, PICO_DIGITS, signed=False)


@lru_cache(maxsize=16_384)
def text(amount: int, digits: int = MICRO_DIGITS) -> str:
    """The amount in fixed point without trailing zeros: 586.33, 1000, 0; `digits` 12 for picos."""
    whole, rest = divmod(abs(amount), 10**digits)
    decimals = f"{rest:0{digits}d}".rstrip("0")
    return f"{'-' if amount < 0 else ''}{whole}{'.' if decimals else ''}{decimals}"


def charge(price: int, units: int, divisor: int = 1) -> int:
    """Micros that units (micros) cost at a price (picos) for `divisor` of them.

    Rounded once, half up (IN-5): 40 seconds at 0.1 a minute are 0.066667.
    """
    whole = PICO * divisor
    return (2 * price * units + whole) // (2 * whole)


def shown(amount: int, currency: str) -> int:
    """An invoice line in micros, rounded half away from zero to the digits of its currency."""
    step = _step(currency)
    rounded = (abs(amount) + step // 2) // step * step
    return -rounded if amount < 0 else rounded


def shown_down(amount: int, currency: str) -> int:
    """What remains or is available, in micros, rounded down: never more than there is (IN-5)."""
    step = _step(currency)
    return amount // step * step


def _step(currency: str) -> int:
    """The smallest amount a currency shows, in micros."""
    digits = DISPLAY_DIGITS.get(currency)
    if digits is None:
        raise ValueError(f"{currency!r} is not a currency with known display digits")
    return MICRO // int(10**digits)


def _scaled(written: str, digits: int, signed: bool) -> int:
    number = _NUMBER.fullmatch(written)
    if number is None:
        raise _refusal(written, "is not a number: write digits, such as 586.33")
    sign, whole, decimals = number[1], number[2], number[3] or ""
    if sign and not signed:
        raise _refusal(written, "has a sign: write it without one")
    if len(whole) > INTEGER_DIGITS:
        raise _refusal(written, f"is too large: write at most {INTEGER_DIGITS} digits")
    if len(decimals) > digits:
        raise _refusal(written, f"is too fine: write at most {digits} decimals")
    value = int(whole + decimals.ljust(digits, "0"))
    return -value if sign == "-" else value


def _refusal(written: str, why: str) -> ValueError:
    return ValueError(f"{written[:40]!r} {why}")
