"""Processes: starting one that cannot outlive us, and ending one that an earlier run left.

Owns how a process begins and ends; does not know which server it is.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from persistence.servers.account import Account

#: Runs between us and the server: it changes the account, asks the kernel for a signal when the
#: parent ends, and becomes the server. In this order: a change of account clears the request, and
#: the new account may not be able to read Python's library. A program of its own, because code
#: between fork and exec is not safe beside threads.
LAUNCH = """
import os, sys
parent, dying, uid, gid = (int(text) for text in sys.argv[1:5])
prctl = None
if sys.platform == "linux":
    import ctypes
    prctl = ctypes.CDLL(None).prctl
if uid >= 0:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
if prctl is not None:
    prctl(1, dying, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)
os.umask(0o077)
# A server sees nothing of our environment, which has the operator's settings and keys.
clean = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
os.execve(sys.argv[5], sys.argv[5:], clean)
"""

LOG_BYTES = 8 << 20  #: a larger log is set aside (one older file is kept) at the next start


def launch(
    command: Sequence[str | Path],
    *,
    account: Account | None,
    log: Path,
    folder: Path,
    dying: signal.Signals,
    text: bytes = b"",
) -> subprocess.Popen[bytes]:
    """Start `command` in `folder`, its output appended to `log`, `text` as its input.

    It runs in a session of its own (a Ctrl-C on the terminal is ours alone to handle) and gets
    the signal `dying` when the calling *thread* ends, on Linux.
    """
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > LOG_BYTES:
            log.replace(log.with_suffix(".log.old"))
    ids = (account.uid, account.gid) if account else (-1, -1)
    numbers = [str(number) for number in (os.getpid(), int(dying), *ids)]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", LAUNCH, *numbers, *map(str, command)],
            stdin=subprocess.PIPE if text else subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=folder,
            start_new_session=True,
        )
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError), process.stdin as stream:
            stream.write(text)
    return process


def last_line(log: Path) -> str:
    """The last line of a log, for an error message; empty when there is none."""
    with contextlib.suppress(OSError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        lines = file.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1].strip() if lines else ""
    return ""


def alive(pid: int) -> bool:
    """Whether process `pid`, whoever it belongs to, is there and has not ended.

    One that has ended but that its parent has not collected is not alive.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    with contextlib.suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
        return state not in {b"Z", b"X"}
    return True


def runs(pid: int, path: Path) -> bool:
    """Whether process `pid` is alive and was started with `path` among its arguments."""
    if not alive(pid):
        return False
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            return os.fsencode(path) in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return False
    told = subprocess.run(
        ["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, check=False
    )
    return os.fsencode(path) in told.stdout


def end(pid: int, steps: Sequence[tuple[signal.Signals, float]]) -> None:
    """End a process that is not our child: each signal of `steps`, then that many seconds."""
    for number, patience_seconds in steps:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + patience_seconds
        while alive(pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        if not alive(pid):
            return
