"""Every Valkey key: its shape, type, expiry and how it is rebuilt.

Owns names only. Keys of one tenant share its hash tag, so that one script may touch them together
and a cluster stays open.
"""

from __future__ import annotations


def version(tenant_id: int) -> str:
    """`{TENANT}:version`, string: the last version shown. No expiry; rebuilt from tenant_head."""
    return f"{{{tenant_id}}}:version"
