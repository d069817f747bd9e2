"""The command `verify`: what people type, and what they and programs are told."""

from __future__ import annotations

import json
from functools import partial

from tests.commands import SERVED, command, fact, lines_of, prepared, started
from tests.conftest import OPERATOR_KEY, Database, ServedFactory, on


async def test_what_is_right_and_what_a_hand_changed(
    served: ServedFactory, database: Database
) -> None:
    """BA-10: 0 where the books are right, 1 where a value is not, with the row's name."""
    server = await served(**SERVED)
    await prepared(server, "acme", "birch")
    sent = lines_of(*(fact("acme", number) for number in range(5)))
    code, _, err = await command(
        "replay", "-", "--url", server.url, "--key", OPERATOR_KEY, stdin=sent
    )
    assert code == 0, err
    given = {
        "KUOTA_DATABASE_URL": database.app_url,
        "KUOTA_DATABASE_OWNER_URL": database.owner_url,
        "KUOTA_CLOCK": SERVED["KUOTA_CLOCK"],
    }
    run = partial(command, **given)

    assert await run("verify") == (
        0,
        "ok       acme: 5 facts to version 1, the books are right\n"
        "ok       birch: 0 facts to version 0, the books are right\n",
        "",
    )
    await on(database.owner_url, "update facts set units = 7 where id = 'm-3'")
    code, out, err = await run("verify", "acme", "nobody")
    assert (code, err) == (1, "there is no tenant 'nobody'\n")
    first, *findings = out.splitlines()
    assert first == "wrong    acme: 5 facts to version 1, 4 values wrong"
    assert findings[1] == "         facts test/m-3: units is 0.000007, should be 1"
    code, out, err = await started("verify", "acme", "--json", **given)
    assert (code, err) == (1, "")
    (shown,) = json.loads(out)["tenants"]
    assert (shown["tenant"], shown["version"], shown["wrong"]) == ("acme", 1, 4)
    assert shown["findings"][1] == {
        "table": "facts", "row": "test/m-3", "column": "units", "found": "0.000007", "right": "1",
    }  # fmt: skip
