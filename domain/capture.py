"""Capturing: what a fact makes of the hold it names, once it is charged (EV-5, OC-3, OC-4).

Owns which facts end a share and which let it last longer. How shares end is `holds`' to say; what
was charged is decided before, whatever the hold. Folded again, nothing is judged (EV-9).
"""

from __future__ import annotations

from collections.abc import Sequence

from domain.facts import Fact, Flag, Type
from domain.holds import LEFT, End, recipient_of
from domain.state import Changes, Part
from domain.terms import Terms

#: What is charged when it has come about, answered or not.
_ENDED = frozenset({
    Type.CALL_ENDED, Type.SESSION_ENDED, Type.EMAIL_SENT, Type.USAGE_RECORDED
})  # fmt: skip


def judge(
    terms: Terms,
    changes: Changes,
    fact: Fact,
    flags: int,
    parts: Sequence[Part],
    now: int,
    *,
    charged: bool,
) -> int:
    """End the share of a fact's recipient, or let it last longer; gives the flags that adds.

    `flags` and `parts` are what became of the fact, `charged` says that it charges its message.
    """
    state, kind = changes.state, fact.type
    if state.judged is not None:
        return state.judged.get(fact.key, Flag.NONE)
    if state.holds is None or fact.hold is None or flags & Flag.REPEATED:
        return Flag.NONE
    unanswered = kind is Type.CALL_ENDED and not fact.answered
    captures = charged or (kind in _ENDED and not unanswered)
    kept = state.holds.get(fact.hold)
    if kept is None:
        return Flag.UNKNOWN_HOLD if captures else Flag.NONE
    added, noted, recipient = Flag.NONE, kept.changed, recipient_of(fact.address)
    if captures:
        drawn: dict[str, int] = {}
        for part in parts:
            if part.amount:
                field = LEFT + terms.balances[part.balance_id].key
                drawn[field] = drawn.get(field, 0) + part.amount
        units = {LEFT + each.key for each in terms.balances.values() if each.kind != "money"}
        added = kept.capture(recipient, fact.at, now, drawn, units)
    elif kind is Type.MESSAGE_SENT:
        kept.send(recipient, fact.at)
    elif unanswered:
        kept.fail(recipient, now, End.RELEASED)
    elif kind is Type.MESSAGE_FAILED:
        kept.fail(recipient, now)
    if kept.changed and not noted:
        changes.holds.append(kept)
    return added
