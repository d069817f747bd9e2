"""What a checkup finds insecure in the environment: each setting by its name, and what to do.

Owns nothing that a server has to be asked for; addresses and origins are `surroundings`'.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from api.secrecy import SUFFIX, files, is_near, is_open_to_others, weakness
from api.settings import Settings
from persistence.checkup.finding import Finding, Trouble, judged, warned, wrong

NEW_SECRET = "export KUOTA_SECRET=$(openssl rand -hex 32), and start again"


def is_public(given: Settings) -> bool:
    """Whether others than this machine are told where to find it."""
    return not is_near(urlsplit(given.public_url or "").hostname or "")


def secret(given: Settings) -> Finding:
    """Signatures and seals are derived from something that nobody knows."""
    say = wrong if is_public(given) else warned
    troubles: list[Trouble] = []
    if given.secret is None:
        found = "KUOTA_SECRET is not set: whoever has the source can sign what this signs"
        troubles.append(say(f"{found}; serve listens on this machine alone", NEW_SECRET))
    elif (why := weakness(given.secret)) is not None:
        troubles.append(say(f"KUOTA_SECRET {why}", NEW_SECRET))
    return judged("secret", "KUOTA_SECRET is set", troubles)


def secret_files(environ: Mapping[str, str]) -> Finding:
    """Files with secrets are read by their owner alone."""
    named = files(environ)
    troubles = [
        warned(f"{name} names {path}, which other users may read or write", f"chmod 600 {path}")
        for name, path in named.items()
        if is_open_to_others(path)
    ]
    fine = ", ".join(named) if named else f"no secret comes from a file (KUOTA_...{SUFFIX})"
    return judged("secret files", fine, troubles)


def exposure(given: Settings, environ: Mapping[str, str]) -> Finding:
    """What may be of use on one's own machine, and not where others come in."""
    troubles: list[Trouble] = []
    if given.log_level == "debug":
        troubles.append(
            warned(
                "KUOTA_LOG_LEVEL is debug: logs then hold what requests carried",
                "set KUOTA_LOG_LEVEL=info, unless you are looking for something",
            )
        )
    if given.rate_limit == 0:
        troubles.append(
            warned(
                "KUOTA_RATE_LIMIT is 0: one key can take all there is",
                "unset KUOTA_RATE_LIMIT, or write the cost a key may have in a minute",
            )
        )
    if "*" in environ.get("FORWARDED_ALLOW_IPS", ""):
        troubles.append(
            warned(
                "FORWARDED_ALLOW_IPS is *: any client says itself which address it has",
                "write the addresses of your proxies in FORWARDED_ALLOW_IPS",
            )
        )
    if is_public(given) and given.operator_key is not None:
        troubles.append(
            warned(
                "KUOTA_OPERATOR_KEY is in use: it may do everything, has no end and no name",
                "create people or keys for those who operate, then unset KUOTA_OPERATOR_KEY",
            )
        )
    return judged("exposure", "nothing is open that need not be", troubles)
