"""Origins of browsers' pages, in one spelling: what a browser sends, and what people write.

Owns the spelling alone: who is welcome is for those to say who ask.
"""

from __future__ import annotations

import re

ORIGIN = re.compile(r"(https?)://([a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::([0-9]{1,5}))?")
#: Ports that browsers leave out.
PORTS = {"http": "80", "https": "443"}


def spelt(text: str) -> str | None:
    """The origin as browsers send it: lower case, without its scheme's own port; None for none."""
    found = ORIGIN.fullmatch(text.lower())
    if found is None:
        return None
    scheme, host, port = found.groups()
    return f"{scheme}://{host}" if port in (None, PORTS[scheme]) else f"{scheme}://{host}:{port}"
