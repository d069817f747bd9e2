"""Seeded worlds: the fold and a model that imports nothing of ours agree to the last digit.

`python -m pytest tests/simulation --worlds 500` takes seeds 1 to 500 and the named ones,
`--world 17` one alone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tests.simulation import figures, model
from tests.simulation.closed import closings, fact_order, published
from tests.simulation.conftest import COVERING_STORED, NAMED_STORED
from tests.simulation.driver import drive
from tests.simulation.rulebook import Json, instant
from tests.simulation.world import RULEBOOK, RULES, SPREAD, ZONES, Disorder, Tenant, World, world

#: What imports nothing of the product.
MODEL = ("model.py", "account.py", "closed.py", "refunds.py", "rulebook.py")
LATE: tuple[Disorder, ...] = ("hours", "weeks")


def expected(of: World, tenant: Tenant) -> Json:
    return model.run(RULEBOOK, tenant.setup, tenant.inputs, of.start, of.end)


def test_in_fact_order_the_fold_does_what_the_rules_say(seed: int) -> None:
    """EV-1, EV-4, EV-5, WI-1, WI-2, CO-1, VI-1, PR-4, PR-7, PR-9, VO-1, BA-1 to BA-12.

    A job comes at each instant at which something is due, or never (TZ-4).
    """
    of = world(seed)
    for tenant in of.tenants:
        found = drive(tenant, of.start, of.end, punctual=seed % 2 == 0)
        lines = figures.differences(expected(of, tenant), found)
        assert not lines, figures.failure(seed, tenant.setup["tenant"], lines)


def test_the_model_takes_inputs_in_any_order() -> None:
    """EV-4: it is defined on what there is, not on how it came."""
    of = world(1)
    for tenant in of.tenants:
        mixed = [*tenant.inputs, *Random(1).sample(tenant.inputs, 20)]
        Random(2).shuffle(mixed)
        assert model.run(RULEBOOK, tenant.setup, mixed, of.start, of.end) == expected(of, tenant)


def test_a_seed_is_a_world() -> None:
    first, again, other = world(7), world(7), world(8)
    assert first == again
    assert first.tenants[0].inputs != first.tenants[1].inputs
    assert first.tenants[0].inputs != other.tenants[0].inputs
    for disorder in LATE:
        arrivals = [each.arrivals(each.tenants[0], disorder) for each in (first, again)]
        assert arrivals[0] == arrivals[1]


def test_arrivals_bring_every_input_when_it_can_be_there() -> None:
    """An action comes at its time and alone; a fact then or later, and some come twice."""
    of = world(3)
    for tenant in of.tenants:
        for disorder in SPREAD:
            batches = of.arrivals(tenant, disorder)
            came = [one for batch in batches for one in batch.inputs]
            assert sorted(map(repr, _once(came))) == sorted(map(repr, _once(tenant.inputs)))
            assert [batch.at for batch in batches] == sorted(batch.at for batch in batches)
            for batch in batches:
                assert all(instant(one["time"]) <= batch.at for one in batch.inputs)
                if any("action" in one for one in batch.inputs):
                    assert [instant(one["time"]) for one in batch.inputs] == [batch.at]
            ordered = sorted(came, key=fact_order) == came
            assert ordered == (disorder == "none") or any("starts" in one for one in came)


def _once(inputs: list[Json]) -> Iterator[Json]:
    seen: list[Json] = []
    for one in inputs:
        if one not in seen:
            seen.append(one)
            yield one


def test_worlds_touch_every_row_and_every_kind_of_lot() -> None:
    """A world in which something never happens proves nothing of it."""
    rules: set[str] = set()
    flags: set[str] = set()
    legs: set[str] = set()
    lapsed: set[str] = set()
    for seed in range(1, 13):
        of = world(seed)
        for tenant in of.tenants:
            found = expected(of, tenant)
            for fact in found["facts"].values():
                flags |= {fact["status"], *fact["flags"]}
                for part in fact["charges"]:
                    rules.add(part["rule"] if part["amount"] else f"{part['rule']} free")
                    legs |= {name.partition("/")[0] for name, _ in part["legs"]}
            lapsed |= {name.split()[0] for name, lot in found["lots"].items() if lot["lapsed"]}
    priced = [row for row in RULES["book"]["rows"] if row["price"] not in ("0", "n/a")]
    assert {RULEBOOK.rule(row) for row in priced} <= rules
    assert {f"bazaar@2026-10-01/{name} free" for name in ("service", "conversation")} <= rules
    assert legs == {"allowance", "action", "overdraft"}
    assert lapsed == {balance["balance"] for balance in RULES["plans"]["small"]["balances"]}
    assert flags == {
        "accepted", "conversation", "conversation_paid", "free_entry", "overdrawn", "repeated",
        "service_window", "unrated", "visitor",
    }  # fmt: skip


def test_whole_worlds_have_what_only_the_database_knows() -> None:
    """Closings and what comes after them, refunds of charges, own allowances, changing books."""
    kinds: set[str] = set()
    rules: set[str] = set()
    statuses: set[str] = set()
    legs: set[str] = set()
    flags: set[str] = set()
    given: set[str] = set()
    plans: set[str] = set()
    zones: set[str] = set()
    disorders: set[tuple[bool, int]] = set()
    for seed in (*NAMED_STORED, *COVERING_STORED):
        of = world(seed, tenants=1, steps=200, whole=True)
        (tenant,) = of.tenants
        found = model.run(
            RULEBOOK, tenant.setup, tenant.inputs, of.start, of.end, late=tenant.late
        )  # fmt: skip
        plans.add(tenant.setup["plan"])
        zones.add(tenant.setup["zone"])
        disorders.add((of.restless, seed % 2))
        kinds |= {one["action"] for one in tenant.inputs if "action" in one}
        kinds |= {f"rerate {one['rerate']}" for one in published(tenant.inputs)}
        kinds |= {"conflict"} if tenant.conflicts else set()
        kinds |= {"two closings"} if len(closings(tenant.setup, tenant.inputs)) > 1 else set()
        for name, fact in found["facts"].items():
            if name in tenant.late:
                statuses.add(fact["status"])
                flags |= {*fact["flags"]}
                legs |= {
                    name.partition("/")[0] for part in fact["charges"] for name, _ in part["legs"]
                }
            rules |= {part["rule"].rpartition("-")[2] for part in fact["charges"]}
        given |= {name.split("/")[1].split("-")[0] for name in found["lots"] if "/" in name}
        given |= {"back"} if any(
            "fact" in one and one["key"] not in found["refused"] for one in tenant.inputs
        ) else set()  # fmt: skip
    assert {
        "close", "two closings", "publish", "rerate True", "rerate False", "refund_charge",
        "allowance", "conflict",
    } <= kinds  # fmt: skip
    assert statuses == {"accepted", "adjusted", "unrated"}
    assert {"visitor", "overdrawn", "repeated"} == flags
    assert legs == {"allowance", "action", "overdraft"}
    assert {"v1", "v2", "v3"} <= rules
    assert {"back", "allowance"} <= given
    assert plans == {"small", "talk"}
    assert zones == {own for own, _ in ZONES}
    assert disorders == {(False, 0), (False, 1), (True, 1)}  # hours, weeks, and much withdrawn


def test_the_model_imports_nothing_of_the_product() -> None:
    """It shares no code with what it is held against."""
    allowed = {f"tests.simulation.{name.removesuffix('.py')}" for name in MODEL}
    for name in MODEL:
        for node in ast.walk(ast.parse(Path(__file__).with_name(name).read_text("utf-8"))):
            if isinstance(node, ast.Import):
                modules = {alias.name for alias in node.names}
            else:
                modules = {node.module or ""} if isinstance(node, ast.ImportFrom) else set()
            ours = {each for each in modules if each.split(".")[0] in OURS}
            assert ours <= allowed, f"{name} imports {ours - allowed}"


OURS = {"api", "domain", "persistence", "tests"}
