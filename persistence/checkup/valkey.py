"""The Valkey server: whether it answers, keeps what it is given, takes a write, and is locked.

Owns no key but the one it writes and takes away again.
"""

from __future__ import annotations

import ipaddress
import secrets
import time
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from persistence import keys
from persistence.checkup.finding import Finding, judged, warned, wrong

#: The first Valkey; what it forked from at that version speaks the same.
VERSION_MIN = (7, 2)
PING_MILLISECONDS_MAX = 100.0
PINGS = 5
MEMORY_USED_MAX = 0.9
PROBE_SECONDS = 60

#: What a refused write begins with -> what to do.
REFUSALS = {
    "READONLY": "it is a replica: point KUOTA_REDIS_URL at the primary",
    "OOM": "its memory is full: raise maxmemory (config set maxmemory 0 lifts the limit)",
    "MISCONF": "its snapshots fail: free its disk; until then config set"
    " stop-writes-on-bgsave-error no",
    "NOPERM": "its user may not write: acl setuser NAME +@all ~* &*, or another user in"
    " KUOTA_REDIS_URL",
}


async def server(valkey: Redis) -> Finding:
    """It answers, soon, and has a version we can talk to; says what it keeps on disk."""
    times = []
    for _ in range(PINGS):
        began = time.perf_counter()
        await valkey.ping()
        times.append((time.perf_counter() - began) * 1000)
    info: dict[str, Any] = await valkey.info()
    kind = "Valkey" if "valkey_version" in info else "Redis"
    version = str(info.get("valkey_version") or info["redis_version"])
    disk = "appends to a file" if info.get("aof_enabled") else await _snapshots(valkey)
    troubles = []
    if tuple(int(part) for part in version.split(".")[:2]) < VERSION_MIN:
        troubles.append(
            wrong(
                f"{kind} {version} is older than {'.'.join(map(str, VERSION_MIN))}",
                "upgrade it: it holds nothing that PostgreSQL cannot give again",
            )
        )
    if min(times) > PING_MILLISECONDS_MAX:
        troubles.append(
            warned(
                f"a ping takes {min(times):.0f} ms",
                "bring it nearer, or find what keeps it busy: valkey-cli slowlog get",
            )
        )
    fine = f"{kind} {version}, a ping takes {min(times):.1f} ms, {disk} (nothing needs it)"
    return judged("valkey", fine, troubles)


async def _snapshots(valkey: Redis) -> str:
    """What it says of snapshots; a hosted one may not tell."""
    try:
        saved = (await valkey.config_get("save")).get("save")
    except ResponseError:
        return "does not say what it keeps on disk"
    return f"saves snapshots ({saved})" if saved else "keeps nothing on disk"


async def memory(valkey: Redis) -> Finding:
    """A full memory refuses writes and never forgets a key; it is not full."""
    info: dict[str, Any] = await valkey.info("memory")
    policy, used, limit = info["maxmemory_policy"], info["used_memory"], info["maxmemory"]
    troubles = []
    if policy != "noeviction":
        troubles.append(
            wrong(
                f"maxmemory-policy is {policy}: counts that are forgotten are shown too low",
                "valkey-cli config set maxmemory-policy noeviction, and the same in its"
                " configuration file, or it comes back with a restart",
            )
        )
    if limit and used > limit * MEMORY_USED_MAX:
        troubles.append(
            warned(
                f"{used >> 20} of {limit >> 20} MiB are used; once full, nothing new is shown",
                f"valkey-cli config set maxmemory {limit * 2}, and the same in its file",
            )
        )
    least = f"{used >> 20} MiB used, {f'{limit >> 20} MiB allowed' if limit else 'no limit'}"
    return judged("valkey memory", f"noeviction, {least}", troubles)


async def writes(valkey: Redis) -> Finding:
    """It takes a key and gives it back; the key is gone afterwards."""
    name, value = keys.probe(secrets.token_hex(8)), secrets.token_hex(8)
    troubles = []
    try:
        await valkey.set(name, value, ex=PROBE_SECONDS)
        found = await valkey.getdel(name)
    except ResponseError as fault:
        said = str(fault)
        first = type(fault).__name__.upper() + " " + said.upper()
        remedy = next(
            (remedy for word, remedy in REFUSALS.items() if word in first),
            "see the server's log for why",
        )
        troubles.append(wrong(f"it refuses a write: {said}", remedy))
    else:
        if found != value.encode() and found != value:
            troubles.append(
                wrong(
                    "what was just written is not there",
                    "point KUOTA_REDIS_URL at one server, no proxy that reads from replicas",
                )
            )
    return judged("valkey writes", "a key was written, read and removed", troubles)


def access(valkey: Redis, url: str) -> Finding:
    """Who can reach it over a network needs a password."""
    place = urlsplit(url)
    if place.scheme == "unix" or near(place.hostname or ""):
        return judged("valkey access", "on this machine", [])
    password = valkey.connection_pool.connection_kwargs.get("password")
    troubles = []
    if password is None:
        troubles.append(
            warned(
                f"KUOTA_REDIS_URL has no password for {place.hostname}: whoever reaches it may read"
                " and write everything",
                "give it one (requirepass in its configuration) and write it into KUOTA_REDIS_URL:"
                " rediss://:PASSWORD@HOST:PORT",
            )
        )
    elif place.scheme != "rediss":
        troubles.append(
            warned(
                f"the password goes to {place.hostname} in the clear",
                "turn TLS on in the server and write rediss:// in KUOTA_REDIS_URL",
            )
        )
    return judged("valkey access", "password and encryption", troubles)


def near(host: str) -> bool:
    """Whether a host is this machine."""
    if host in ("", "localhost") or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
