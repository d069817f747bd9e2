"""Running our commands in tests, and the small world they are tried on."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import httpx2

from tests.conftest import OPERATOR_KEY, ROOT, Served, environment
from tests.forking import CAN_FORK, fork

#: Figures are the present month's, and the facts below are of October.
CLOCK = {"KUOTA_CLOCK": "2026-10-20T00:00:00Z"}
SERVED = {"KUOTA_OPERATOR_KEY": OPERATOR_KEY, **CLOCK}
TENANT = ("--plan", "omnichannel-idr", "--timezone", "Asia/Jakarta")


async def command(*arguments: str, stdin: bytes = b"", **variables: str) -> tuple[int, str, str]:
    """Run `python -m api ...` to its end: exit code, stdout, stderr."""
    if not CAN_FORK:
        return await started(*arguments, stdin=stdin, **variables)
    process = await fork(*arguments, env=environment(**variables), stdin=stdin)
    out, err = await process.communicate()
    assert process.returncode is not None
    assert b"Traceback" not in err, err.decode()
    return process.returncode, out.decode(), err.decode()


async def started(*arguments: str, stdin: bytes = b"", **variables: str) -> tuple[int, str, str]:
    """The same by an interpreter of its own, which shows that a command imports what it needs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "api", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(**variables),
        cwd=ROOT,
    )
    out, err = await process.communicate(stdin)
    assert process.returncode is not None
    assert b"Traceback" not in err, err.decode()
    return process.returncode, out.decode(), err.decode()


async def told(*arguments: str, **variables: str) -> Any:
    """What a command that succeeds prints with `--json`."""
    code, out, err = await command(*arguments, "--json", **variables)
    assert code == 0, err
    return json.loads(out)


def fact(tenant: str, number: int) -> dict[str, object]:
    """A delivered service message of `tenant`, the `number`th minute of October 2026."""
    day, minute = divmod(number, 24 * 60)
    return {
        "specversion": "1.0",
        "id": f"m-{number}",
        "source": "test",
        "type": "message.delivered",
        "subject": tenant,
        "time": f"2026-10-{1 + day:02}T{minute // 60:02}:{minute % 60:02}:00Z",
        "data": {
            "number": "+628001234567",
            "channel": "whatsapp",
            "contact": f"+62811000{number % 400:03}",
            "category": "service",
        },
    }


def lines_of(*facts: dict[str, object]) -> bytes:
    return b"".join(json.dumps(fact).encode() + b"\n" for fact in facts)


async def prepared(served: Served, *tenants: str) -> None:
    """Tenants with a number each, made through the API in one request."""
    mutations = [
        f't{n}: tenantCreate(input: {{key: "{tenant}", plan: "omnichannel-idr"}})'
        " { userErrors { message } }"
        f' n{n}: numberCreate(input: {{tenant: "{tenant}", channel: "whatsapp",'
        ' address: "+628001234567"}) { userErrors { message } }'
        for n, tenant in enumerate(tenants)
    ]
    answer = await graphql(served, f"mutation {{ {' '.join(mutations)} }}")
    assert all(payload["userErrors"] == [] for payload in answer.values()), answer


async def graphql(served: Served, query: str, key: str = OPERATOR_KEY) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(
        base_url=served.url, headers=headers, timeout=60, trust_env=False
    ) as client:
        answer = (await client.post("/graphql", json={"query": query})).json()
    assert "errors" not in answer, answer
    data: dict[str, Any] = answer["data"]
    return data
