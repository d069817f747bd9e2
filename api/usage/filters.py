"""What a question of usage counts, splits by and narrows to, from values as people write them.

Owns the checks of a filter: a name that is none is said with the names there are, and a value that
nothing can have is refused before it is looked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from api.addresses import ADDRESS_LENGTH_MAX, spellings
from api.faults import Fault
from api.limits import DIMENSION_LENGTH_MAX
from api.operations.checks import UNSTORABLE
from domain.facts import CHANNELS
from persistence.usage import Dimension, Measure, Selection

DIMENSIONS_MAX = 2
FILTER_VALUES_MAX = 1_000

#: What each dimension is called in a filter.
FIELDS: Final = {
    Dimension.NUMBER: "numbers", Dimension.CHANNEL: "channels", Dimension.COUNTRY: "countries",
    Dimension.DIRECTION: "directions", Dimension.CATEGORY: "categories", Dimension.USER: "users",
    Dimension.BROADCAST: "broadcasts",
}  # fmt: skip

Values = Iterable[str] | None
Only = tuple[tuple[Dimension, tuple[str, ...]], ...]


def selection_of(
    measures: Sequence[Measure], split: Sequence[Dimension] = (), narrowed: Only = ()
) -> Selection:
    """What to sum, each measure and dimension once; BAD_USER_INPUT for none, or too many."""
    if not measures:
        raise Fault("BAD_USER_INPUT", "`metrics` is empty: name at least one")
    group_by = tuple(dict.fromkeys(split))
    if len(group_by) > DIMENSIONS_MAX:
        raise Fault("BAD_USER_INPUT", f"`groupBy` has {len(group_by)} dimensions: name one or two")
    return Selection(measures=tuple(dict.fromkeys(measures)), group_by=group_by, only=narrowed)


def only(
    *,
    numbers: Values = None,
    channels: Values = None,
    countries: Values = None,
    directions: Values = None,
    categories: Values = None,
    users: Values = None,
    broadcasts: Values = None,
) -> Only:
    """The filter as dimensions and values; BAD_USER_INPUT for what no value can be.

    None does not narrow, an empty list matches nothing, "" what has no value. Numbers are taken in
    whatever spelling.
    """
    given = {
        Dimension.NUMBER: numbers,
        Dimension.CHANNEL: channels,
        Dimension.COUNTRY: countries,
        Dimension.DIRECTION: directions,
        Dimension.CATEGORY: categories,
        Dimension.USER: users,
        Dimension.BROADCAST: broadcasts,
    }
    fields = {dimension: list(values) for dimension, values in given.items() if values is not None}
    if sum(map(len, fields.values())) > FILTER_VALUES_MAX:
        raise Fault("BAD_USER_INPUT", f"`filter` names more than {FILTER_VALUES_MAX} values")
    for dimension, values in fields.items():
        _check_values(dimension, values)
    _check_names("channels", fields.get(Dimension.CHANNEL), list(CHANNELS))
    _check_names("directions", fields.get(Dimension.DIRECTION), ["in", "out"])
    if Dimension.NUMBER in fields:
        fields[Dimension.NUMBER] = [
            form for number in fields[Dimension.NUMBER] for form in spellings(number)
        ]
    return tuple((dimension, tuple(sorted(set(values)))) for dimension, values in fields.items())


def _check_values(dimension: Dimension, values: Sequence[str]) -> None:
    """Raise BAD_USER_INPUT for what no row has: the database is not asked for it."""
    most = ADDRESS_LENGTH_MAX if dimension is Dimension.NUMBER else DIMENSION_LENGTH_MAX
    for place, value in enumerate(values):
        where = f"`filter.{FIELDS[dimension]}[{place}]`"
        if UNSTORABLE.search(value):
            message = f"{where} has a character that no text has: leave it out"
            raise Fault("BAD_USER_INPUT", message)
        if len(value) > most:
            message = f"{where} has {len(value)} characters: no value has more than {most}"
            raise Fault("BAD_USER_INPUT", message)


def _check_names(field: str, values: Sequence[str] | None, known: Sequence[str]) -> None:
    for value in values or ():
        if value not in known:
            raise Fault(
                "BAD_USER_INPUT", f"`{field}` names {value[:40]!r}: write one of {', '.join(known)}"
            )
