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
    suppress_keyboard_interrupt=False,
    result_action="return_value",
)
# Named by their modules: what one command imports costs the others nothing.
COMMANDS = {
    "demo": ("api.cli.demo:demo", "Show three businesses at work, and leave nothing behind."),
    "serve": ("api.cli.serve:serve", "Serve the API until Ctrl-C or SIGTERM."),
    "doctor": ("api.cli.doctor:doctor", "Say what is wrong, and what to do about it."),
    "migrate": ("api.cli.migrate:migrate", "Bring the database up to date."),
    "replay": ("api.cli.replay:replay", "Send facts from a file to a served process."),
    "simulate": ("api.cli.simulate:simulate", "Charge recorded traffic by other rules."),
    "rights": ("api.cli.rights:rights", "Say who may do what, and what requests are limited to."),
    "settle": ("api.cli.settle:settle", "Put late facts into their order, and correct charges."),
    "verify": ("api.cli.verify:verify", "Prove that the books of tenants are right."),
    "watch": ("api.cli.watch:watch", "Follow a tenant's balances as they change."),
}
GROUPS = {
    "tenant": ("api.cli.tenant:create", "Tenants: the businesses that are billed."),
    "number": ("api.cli.number:create", "Numbers: a tenant's senders."),
    "key": ("api.cli.key:create", "Keys: credentials of operators and of tenants."),
}
for name, (where, what) in COMMANDS.items():
    app.command(where, name=name, help=what)
for name, (where, what) in GROUPS.items():
    app.command(group := App(name=name, help=what))
    group.command(where, name="create", help=f"Create a {name}.")
app["tenant"].command("api.cli.tenant:status", name="status", help="Serve a tenant, or do not.")
app.command(book := App(name="book", help="Price books: what things cost, from when on."))
book.command("api.cli.book:check", name="check", help="Say what is wrong with a book.")
book.command("api.cli.book:publish", name="publish", help="Publish a book as its next version.")
app.command(user := App(name="user", help="Users: people who sign in."))
user.command("api.cli.user:create", name="create", help="Create a user.")
user.command("api.cli.user:link", name="link", help="Print a link to sign in by, once.")
app.command(log := App(name="log", help="Logs: all that ever came to a tenant, as a file."))
log.command("api.cli.log:export_", name="export", help="Write a tenant's log to a file.")
log.command("api.cli.log:import_", name="import", help="Take in a log that was exported.")
app.command(audit := App(name="audit", help="The audit: who changed what."))
audit.command("api.cli.audit:export", name="export", help="Write the audit to a file.")
app.command("api.cli.serve:worker", name="worker", show=False)
app.command("api.cli.house:house", name="house", show=False)


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
