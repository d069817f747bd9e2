"""The house: what may import what, who may call whom, what lies where, and what the README says.

Rules that a reader of the code relies on and no type checker knows. Each fails with the place that
broke it; a rule that has to change is changed here, on purpose.
"""

from __future__ import annotations

import ast
import asyncio
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from api.settings import READERS
from tests.conftest import Database, ServedFactory, environment

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")

#: Each layer, and the layers it may import.
LAYERS = {"domain": set[str](), "persistence": {"domain"}, "api": {"domain", "persistence"}}

TOP_LEVEL = {
    ".ci", ".gitignore", "LICENSE", "README.md", "api", "domain", "persistence", "pyproject.toml",
    "requirements-dev.lock", "requirements.lock", "schema.graphql", "tests",
}  # fmt: skip

#: Standard modules that know the time, chance, the environment, or anything outside the process.
IMPURE = {
    "asyncio", "concurrent", "contextvars", "ctypes", "getpass", "io", "locale", "logging",
    "multiprocessing", "os", "pathlib", "platform", "random", "secrets", "select", "shutil",
    "signal", "socket", "sqlite3", "ssl", "subprocess", "sys", "tempfile", "threading", "time",
    "urllib", "uuid",
}  # fmt: skip
IMPURE_CALLS = {"now", "today", "utcnow", "open", "input", "print", "exec", "eval", "__import__"}

LINES_MAX = 400
README_COLUMNS_MAX = 110
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|(?i:stub|stubbed|placeholder|for now))\b")


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the product by its dotted name; a package goes by its own."""
    found = {}
    for layer in LAYERS:
        for path in sorted((ROOT / layer).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = ast.parse(path.read_text("utf-8"))
    return found


@cache
def imports() -> dict[str, list[tuple[str, str]]]:
    """What each module imports, wherever in it, as (module, name); the name of a whole is `*`."""
    return {name: [*imports_in(tree)] for name, tree in modules().items()}


def imports_in(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "*") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written in full"
            assert node.module is not None
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield (whole, "*") if whole in modules() else (node.module, alias.name)


def users(module: str) -> dict[str, set[str]]:
    """Who imports what of a module: functions and classes; constants decide nothing."""
    found: dict[str, set[str]] = {}
    for name, all_of_it in imports().items():
        for imported, what in all_of_it:
            if imported == module and not what.isupper():
                found.setdefault(name, set()).add(what)
    return found


def is_package(name: str) -> bool:
    """Whether a module is a folder's."""
    return (ROOT / Path(*name.split("."))).is_dir()


@cache
def calls() -> dict[str, set[str]]:
    """What each module calls, as it is written: `function`, or `Class.method`."""
    return {
        name: {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        for name, tree in modules().items()
    }


def callers(function: str) -> set[str]:
    """The modules that call `function`, or `Class.method`."""
    return {name for name, called in calls().items() if function in called}


def tracked() -> list[str]:
    """The paths of the repository's files."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("there is no repository to list")
    # Whoever runs the tests may not be who owns the folder.
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [path for path in listed.stdout.split("\0") if path]


def test_imports_go_one_way() -> None:
    wrong = [
        f"{name} imports {imported}"
        for name, all_of_it in imports().items()
        for imported, _ in all_of_it
        for layer in [imported.partition(".")[0]]
        if layer in {*LAYERS, "tests"} - {name.partition(".")[0]} - LAYERS[name.partition(".")[0]]
    ]
    assert wrong == []


def test_the_domain_knows_the_standard_library_alone_and_nothing_outside_the_process() -> None:
    allowed = (sys.stdlib_module_names - IMPURE) | {"domain"}
    wrong = []
    for name, tree in modules().items():
        if name.partition(".")[0] != "domain":
            continue
        wrong += [
            f"{name} imports {imported}"
            for imported, _ in imports()[name]
            if imported.partition(".")[0] not in allowed
        ]
        for node in ast.walk(tree):
            if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
                wrong.append(f"{name}:{node.lineno} waits")
            elif isinstance(node, ast.Call):
                called = ast.unparse(node.func).rpartition(".")[2]
                if called in IMPURE_CALLS:
                    wrong.append(f"{name}:{node.lineno} calls {called}")
    assert wrong == []


def test_the_engine_names_no_channel() -> None:
    """A rule that names a channel belongs into a book; `facts` owns the words, faults show one."""
    channels = {
        target.id.lower()
        for node in ast.walk(modules()["domain.facts"])
        if isinstance(node, ast.ClassDef) and node.name == "Channel"
        for line in node.body
        if isinstance(line, ast.Assign)
        for target in line.targets
        if isinstance(target, ast.Name)
    }
    assert "whatsapp" in channels
    # Whoever asks for money has an address for mail, which is called as that channel is.
    wrong = [
        f"{name}:{node.lineno} names {node.value}"
        for name, tree in modules().items()
        if name.startswith("domain.") and name not in ("domain.facts", "domain.issuers")
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node.value in channels
    ]
    wrong += [
        f"{name}:{node.lineno} names {node.attr}"
        for name, tree in modules().items()
        if name.startswith("domain.") and name != "domain.facts"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "Channel"
    ]
    assert wrong == []


def test_operations_know_neither_graphql_nor_http() -> None:
    """Not by way of others either: what they import is imported and looked at."""
    names = [name for name in modules() if name.startswith("api.operations.")]
    assert names
    program = (
        f"import importlib, sys\nfor name in {names!r}: importlib.import_module(name)\n"
        "print(sorted({'graphql', 'starlette', 'strawberry', 'uvicorn'} & sys.modules.keys()))"
    )
    command = [sys.executable, "-c", program]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_the_schema_never_writes() -> None:
    """Types read; what changes something is an operation, or the way in."""
    readers = {
        "account_payments", "accounts", "journal",
        "actions", "alerts", "audit", "balances", "board", "catalogue", "charges", "conflicts",
        "credentials", "deliveries", "door", "explanations", "following", "forecasts", "live",
        "activity", "broadcasts", "dunning", "exports",
        "invoices", "invoice_lists", "subscriptions",
        "lot_usage", "mailboxes", "members", "report_letters", "report_schedules", "reports",
        "seats",
        "open_holds", "payment_methods", "people", "positions", "purchases", "receipts", "refills",
        "settlements", "standing", "tenants", "usage", "webhooks",
    }  # fmt: skip
    writes = re.compile(r"(create|record|revoke|write|insert|keep|load|move|update|delete)(_|$)")
    wrong = [
        f"{name} imports {imported}.{what}"
        for name, all_of_it in imports().items()
        if name.startswith("api.schema.")
        for imported, what in all_of_it
        if imported.startswith("persistence.")
        and (imported.removeprefix("persistence.") not in readers or writes.match(what))
    ]
    assert wrong == []


def test_the_fold_alone_meters_and_rates() -> None:
    """The fold, its rates and its ledger draw; others know a leg's form and the order of lots.

    What is asked before a send is rated as well, of windows and sums that nobody keeps.
    """
    assert set(users("domain.meter")) == {"domain.asking", "domain.fold"}
    assert users("domain.rate")["domain.asking"] == {"rate_message"}
    assert users("domain.rate")["api.lanes"] == {"claims_message"}
    assert users("domain.rate")["api.again"] == {"claims_message"}
    assert users("domain.rate")["api.operations.simulate"] == {"claims_message"}
    assert users("domain.rate")["api.proof"] == {"claims_message"}
    assert set(users("domain.rate")) == {
        "domain.asking", "domain.fold", "api.again", "api.lanes", "api.operations.simulate",
        "api.proof",
    }  # fmt: skip
    drawing = users("domain.draw")
    deciding = {"domain.counted", "domain.fold", "domain.ledger", "domain.purse", "domain.rate"}
    assert set(drawing) - deciding == {
        "domain.deeds", "domain.simulate", "domain.state", "persistence.checkpoints",
        "persistence.load",
    }  # fmt: skip
    assert drawing["domain.state"] == {"Leg"}
    assert drawing["domain.deeds"] == drawing["domain.simulate"] == {"order"}
    assert drawing["persistence.load"] == drawing["persistence.checkpoints"] == {"order"}


def test_facts_are_folded_by_a_lane_and_lots_are_added_through_the_ledger() -> None:
    assert users("domain.fold") == {
        "api.jobs": {"advance"},
        "api.lanes": {"fold"},
        "api.rating": {"rate_kept"},
        "api.settling": {"advance"},
        "domain.quotes": {"advance", "fold"},
        "domain.refold": {"advance", "fold"},
        "domain.running_out": {"advance"},
    }
    assert set(users("domain.ledger")) == {
        "domain.adjustments", "domain.changing", "domain.closed", "domain.fold",
        "domain.refills", "domain.refunds", "domain.thresholds", "domain.top_ups", "domain.unpaid",
    }  # fmt: skip
    assert set(users("domain.top_ups")) == {
        "api.operations.adjustment_create", "api.operations.refill_dry_run",
        "api.operations.top_up_create", "api.paying.outcomes", "api.redoing", "domain.deeds",
        "domain.offers",
    }  # fmt: skip


ENGINES = (
    "Hub", "Intake", "Jobs", "Lanes", "Rebuild", "Reload", "SettleJob", "Show", "Sweep",
)  # fmt: skip


@pytest.mark.parametrize(
    ("made", "by"),
    [
        ("create_app", "api.serve"),
        ("Starlette", "api.app"),
        ("Core.open", "api.app"),
        ("Authenticator", "api.core"),
        ("Engines", "api.core"),
        *((engine, "api.engines") for engine in ENGINES),
    ],
)
def test_the_application_is_composed_in_one_place(made: str, by: str) -> None:
    """`serve` asks for an app, `app` composes it, and its core opens the engines."""
    assert callers(made) == {by}


def test_every_module_opens_with_what_it_is() -> None:
    silent = [
        name
        for name, tree in modules().items()
        if not is_package(name) and not ast.get_docstring(tree)
    ]
    assert silent == []


def test_files_are_of_a_size_to_read() -> None:
    lines = {
        path.relative_to(ROOT).as_posix(): path.read_text("utf-8").count("\n")
        for layer in LAYERS
        for path in (ROOT / layer).rglob("*.py")
    }
    assert {path: count for path, count in lines.items() if count > LINES_MAX} == {}


def test_nothing_says_that_it_is_unfinished() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{number} {line.strip()}"
        for layer in LAYERS
        for path in sorted((ROOT / layer).rglob("*"))
        if path.suffix in {".py", ".sql", ".toml"}
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if UNFINISHED.search(line)
    ]
    assert wrong == []


def test_nothing_else_lies_at_the_top() -> None:
    assert {path.partition("/")[0] for path in tracked()} - TOP_LEVEL == set()


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    """Neither folders of somebody's machine nor the address of a package registry."""
    machine = re.compile(rb"(?<![\w.])/(?:home|root|work|Users)/\w|pypi\.org|pythonhosted")
    wrong = [
        path
        for path in tracked()
        if path != "tests/test_house.py" and machine.search((ROOT / path).read_bytes())
    ]
    assert wrong == []


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_locks_have_names_versions_and_hashes_and_no_address(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    assert "://" not in text
    assert "/" not in text
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    package = re.compile(r"[a-z0-9._-]+(\[[a-z0-9,_-]+\])?==[^\s;]+( ; [^\\]+)? \\")
    hashed = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")
    odd = [line for line in lines if not package.fullmatch(line) and not hashed.fullmatch(line)]
    assert odd == []
    # Every name is followed by its hashes: pip then takes nothing else.
    assert all(hashed.fullmatch(after) for line, after in pairwise(lines) if "==" in line)


def test_locks_have_what_the_project_asks_for() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)
    wanted = project["project"]["dependencies"]
    dev = project["dependency-groups"]["dev"]
    assert names_of(wanted) <= locked("requirements.lock")
    assert names_of(wanted + dev) <= locked("requirements-dev.lock")
    assert locked("requirements.lock") <= locked("requirements-dev.lock")


def names_of(requirements: list[str]) -> set[str]:
    """The names of requirements, without versions."""
    return {re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower() for requirement in requirements}


def locked(name: str) -> set[str]:
    """The names a lock file pins."""
    return set(re.findall(r"(?m)^([a-z0-9._-]+)(?:\[.*\])?==", (ROOT / name).read_text("utf-8")))


@pytest.mark.parametrize(
    "arguments",
    [
        ("ruff", "check", "--no-cache"),
        ("ruff", "format", "--check", "--no-cache"),
        pytest.param(("mypy",), marks=[pytest.mark.slow, pytest.mark.timeout(300)]),
    ],
    ids=" ".join,
)
def test_tools_find_nothing(arguments: tuple[str, ...]) -> None:
    cache_of_mypy = str(ROOT / ".mypy_cache") if os.access(ROOT, os.W_OK) else os.devnull
    ran = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={**os.environ, "MYPY_CACHE_DIR": cache_of_mypy},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def section(title: str) -> str:
    """A section of the README, without its title."""
    found = re.search(rf"(?ms)^## {re.escape(title)}\n(.*?)(?=^## |\Z)", README)
    assert found is not None, f"the README has no section {title!r}"
    return found[1]


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", text)


def code_map() -> dict[str, str]:
    """Paths of the code map and what is said of them."""
    found: dict[str, str] = {}
    folder = path = ""
    for line in blocks(section("Code map"), "")[0].splitlines():
        entry = re.fullmatch(r"( {0,2})(\S+) +(.*)", line)
        if entry is None:
            found[path] += " " + line.strip()
            continue
        depth, name, words = entry.groups()
        if not depth:
            folder = name if name.endswith("/") else ""
        path = name if not depth else folder + name
        found[path] = words
    return found


def test_the_code_map_is_the_code() -> None:
    """Every name on it exists; every module has a line, or stands in the line of its folder."""
    described = code_map()
    assert [path for path in described if not (ROOT / path).exists()] == []
    wrong = []
    for name in modules():
        folder, _, own = name.replace(".", "/").rpartition("/")
        words = re.findall(r"\w+", described.get(f"{folder}/", ""))
        if not is_package(name) and f"{folder}/{own}.py" not in described and own not in words:
            wrong.append(f"{folder}/{own}.py")
    assert wrong == []


def test_folders_on_the_code_map_list_what_is_there() -> None:
    wrong = []
    for path, words in code_map().items():
        if path.count("/") < 2 or not path.endswith("/") or ":" not in words:
            continue
        for name in re.findall(r"(?<![.\w])[a-z_]+(?=,|;|$)", words.partition(":")[2]):
            if not (ROOT / path / f"{name}.py").exists():
                wrong.append(path + name)
    assert wrong == []


def test_the_readme_leads_somewhere() -> None:
    """Links to files lead to files, and no line is too long to read in an editor."""
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
    lines = enumerate(README.splitlines(), 1)
    assert [number for number, line in lines if len(line) > README_COLUMNS_MAX] == []


def test_the_readme_names_every_variable_and_command() -> None:
    words = section("Commands and environment")
    variables = {f"KUOTA_{name.upper()}" for name in READERS}
    assert variables - set(re.findall(r"KUOTA_\w+", words)) == set()
    commands = {
        "demo", "serve", "migrate", "doctor", "replay", "simulate", "watch", "tenant create",
        "number create", "key create",
    }  # fmt: skip
    assert commands - set(re.findall(r"\[`([a-z ]+?)(?: [A-Z]+)?`\]", words)) == set()


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
async def test_a_stranger_gets_what_the_readme_shows(
    served: ServedFactory, database: Database
) -> None:
    """The README's commands, as they stand there, answer to the last digit what stands there."""
    server = await served()
    story = section("A first charge in five commands")
    commands = "".join(blocks(story, "sh")).replace("localhost:8000", server.url)
    process = await asyncio.create_subprocess_exec(
        "bash", "-e", "-c", commands.replace(".venv/bin/python", sys.executable),
        stdout=asyncio.subprocess.PIPE,
        env=environment(
            KUOTA_DATABASE_URL=database.app_url, KUOTA_DATABASE_OWNER_URL=database.owner_url
        ),
        cwd=ROOT,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode == 0
    shown = "".join(blocks(story, "text"))
    assert "".join(output.decode().split()) == "".join(shown.split())
