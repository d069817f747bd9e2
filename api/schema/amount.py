"""Amounts as clients see them: an exact decimal, its currency, and words for people."""

from __future__ import annotations

import re
from copy import copy
from decimal import Decimal as PythonDecimal
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated

import strawberry

from api.errors import Fault
from api.schema.fields import computed
from api.schema.scalars import Decimal
from domain import money
from domain.money import DISPLAY_DIGITS, MICRO_DIGITS, text

if TYPE_CHECKING:
    from babel import Locale
    from babel.numbers import NumberPattern

# A symbol of letters stands apart from its number: Rp 586, but $586.
LETTER_BESIDE_DIGIT = re.compile(r"(?<=[^\W\d_])(?=\d)")
LOCALE_LENGTH_MAX = 35  # the longest tag BCP 47 asks systems to take


@strawberry.type(description="An exact amount of units, or of money in one currency.")
class Amount:
    micros: strawberry.Private[int]
    locale: strawberry.Private[str]
    #: Shown rounded down: what remains is never shown as more than there is (IN-5).
    down: strawberry.Private[bool]
    currency: str | None = strawberry.field(
        description="ISO 4217 code; null where the amount is of units."
    )

    @classmethod
    def of(
        cls, micros: int, currency: str | None = None, locale: str = "en", *, down: bool = False
    ) -> Amount:
        """An amount of `micros`; `locale` is the tenant's, for who asks for no other."""
        return cls(micros=micros, locale=locale, down=down, currency=currency)

    @computed("The exact value.")
    def value(self) -> Decimal:
        return Decimal(text(self.micros))

    @computed(
        "The amount as people read it: rounded to the digits its currency shows "
        "(what remains or is available is rounded down), with the locale's separators."
    )
    def formatted(
        self,
        locale: Annotated[
            str | None,
            strawberry.argument(
                description="A language tag such as `id` or `en-GB`; default: the tenant's."
            ),
        ] = None,
    ) -> str:
        return shown(self.micros, self.currency, locale or self.locale, self.down)


@lru_cache(maxsize=8192)  # a dashboard that is looked at again shows mostly the same
def shown(micros: int, currency: str | None, tag: str, down: bool) -> str:
    """The amount in words of a locale; an unknown locale raises BAD_USER_INPUT."""
    from babel.numbers import format_decimal

    locale = locale_of(tag)
    if currency is None:
        units = PythonDecimal(micros).scaleb(-MICRO_DIGITS)
        return format_decimal(units, "#,##0.######", locale=locale)
    rounded = (money.shown_down if down else money.shown)(micros, currency)
    value = PythonDecimal(rounded).scaleb(-MICRO_DIGITS)
    pattern = _pattern(locale, DISPLAY_DIGITS[currency])
    words = str(pattern.apply(value, locale, currency=currency, currency_digits=False))
    return LETTER_BESIDE_DIGIT.sub("\u00a0", words)


@lru_cache(maxsize=256)
def _pattern(locale: Locale, digits: int) -> NumberPattern:
    """How money is written; Babel's own digits are ISO's: 586,33 where nobody pays in cents."""
    pattern: NumberPattern = copy(locale.currency_formats["standard"])
    pattern.frac_prec = (digits, digits)
    return pattern


@lru_cache(maxsize=256)
def locale_of(tag: str) -> Locale:
    from babel import Locale, UnknownLocaleError

    try:
        if len(tag) > LOCALE_LENGTH_MAX:
            raise ValueError(tag)
        return Locale.parse(tag.replace("-", "_"))
    except (ValueError, UnknownLocaleError, TypeError):
        raise Fault(
            "BAD_USER_INPUT", f"{tag[:40]!r} is no locale we know: write one such as id or en-GB"
        ) from None
