"""Holds as the rules have them, in plain Python: what is set aside, and how shares end (OC-3).

Imports nothing of the product. Amounts are whole millionths by balance, instants microseconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

Amounts = Mapping[str, int]


class Share:
    """What is set aside for one recipient."""

    def __init__(self, amounts: Amounts) -> None:
        self.amounts = amounts
        self.sent = self.ended = False


class Hold:
    """One hold; its recipients in the order of the request."""

    def __init__(
        self, shares: Sequence[tuple[str, Amounts]], granted: int, lasts: int, sent_lasts: int
    ) -> None:
        self.shares = {contact: Share(amounts) for contact, amounts in shares}
        self.count = len(shares)
        self.granted = granted
        self.expires, self.until = granted + lasts, granted + sent_lasts
        self.total = total(amounts for _, amounts in shares)
        self.over = False  #: ended as a whole
        self.ended = 0
        self.back: Counter[str] = Counter()
        spelt = Counter(tuple(sorted(amounts.items())) for _, amounts in shares)
        self.common: Amounts = dict(spelt.most_common(1)[0][0])

    def held(self, now: int) -> Counter[str]:
        """What it sets aside at an instant."""
        if self.over or now >= self.until:
            return Counter()
        left = self.total - Counter({name: self.back[name] for name in self.total})
        if now < self.expires:
            return left
        sent = total(
            share.amounts for share in self.shares.values() if share.sent and not share.ended
        )
        return Counter({name: min(sent[name], left[name]) for name in left if sent[name]})

    def share(self, contact: str) -> Share:
        """The share of whoever was reached: a hold for one has it for anybody."""
        if self.count == 1:
            (only,) = self.shares.values()
            return only
        return self.shares.setdefault(contact, Share(self.common))

    def capture(self, contact: str, at: int, drawn: Amounts) -> set[str]:
        """End the share of what was charged; gives the flags."""
        share = self.share(contact)
        flags = {"late"} if at >= (self.until if share.sent else self.expires) else set()
        have = {} if self.over or share.ended else share.amounts
        if any(amount > have.get(name, 0) for name, amount in drawn.items()):
            flags.add("over")
        self.end(contact)
        return flags

    def end(self, contact: str) -> None:
        """Give the share back, once."""
        share = self.share(contact)
        if self.over or share.ended:
            return
        share.ended = True
        self.ended += 1
        for name, amount in share.amounts.items():
            self.back[name] = min(self.back[name] + amount, self.total[name])
        self.over = self.ended >= self.count

    def send(self, contact: str, at: int) -> None:
        """Let the share of what was sent in time last longer."""
        share = self.share(contact)
        share.sent = share.sent or at < self.expires

    def release(self, now: int) -> bool:
        """End all that is open; whether anything was still alive."""
        sent = any(
            share.sent and not share.ended and share.amounts for share in self.shares.values()
        )
        alive = not self.over and (now < self.expires or (sent and now < self.until))
        self.over = self.over or alive
        return alive


def total(of: Iterable[Amounts]) -> Counter[str]:
    """The sum of amounts by balance."""
    found: Counter[str] = Counter()
    for amounts in of:
        found.update(amounts)
    return found
