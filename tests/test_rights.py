"""`rights`: every scope, role and limit is printed, and every limit says why."""

from __future__ import annotations

import json

import pytest

from api import limits
from api.cli.rights import limited, rights
from api.rights import SCOPES, Role

LIMITS = {name: value for name, value in vars(limits).items() if name.isupper()}


def test_what_is_printed_is_all_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    rights()
    text = capsys.readouterr().out
    for name in (*SCOPES, *Role, *LIMITS):
        assert name in text
    assert max(map(len, text.splitlines())) <= 110

    rights(as_json=True)
    shown = json.loads(capsys.readouterr().out)
    assert [row["scope"] for row in shown["scopes"]] == list(SCOPES)
    assert {row["limit"]: row["value"] for row in shown["limits"]} == LIMITS
    adjusting = next(row for row in shown["scopes"] if row["scope"] == "billing:adjust")
    assert (adjusting["operator"], adjusting["super_admin"]) == ("grant", "no")


def test_every_limit_has_a_reason() -> None:
    assert [name for name, _, reason in limited() if not reason.endswith(".")] == []
