"""The command line: names, exit codes and how a failure is said; each command has its module.

0 done, or stopped by Ctrl-C or SIGTERM; 1 could not, with one line on stderr; 2 wrong usage.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from types import FrameType

from cyclopts import App

from api.cli.terminal import Failure, complain

app = App(
    name="python -m api",
    help="Kuota: billing and live usage of messaging platforms.",
    version_flags=[],
    result_action="return_value",
)
# Named by their modules: what one command imports costs the others nothing.
app.command("api.cli.serve:serve", name="serve")
app.command("api.cli.migrate:migrate", name="migrate")
app.command("api.cli.replay:replay", name="replay")
app.command(tenant := App(name="tenant", help="Tenants: the businesses that are billed."))
tenant.command("api.cli.tenant:create", name="create")
app.command(number := App(name="number", help="Numbers: a tenant's senders."))
number.command("api.cli.number:create", name="create")
app.command(key := App(name="key", help="Keys: credentials of operators and tenants."))
key.command("api.cli.key:create", name="create")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and give its exit code."""
    signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        code = app(sys.argv[1:] if arguments is None else list(arguments))
    except Failure as failure:
        complain(failure)
        return failure.code
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        # Who read our output has gone; there is nobody left to tell.
        sys.stderr.close()
        return 1
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return code if isinstance(code, int) else 0


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    """Let SIGTERM take the way of Ctrl-C, so that what a command opened is closed."""
    signal.raise_signal(signal.SIGINT)
