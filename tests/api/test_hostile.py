"""What means harm is refused in few words, or answered because it is cheap."""

from __future__ import annotations

import httpx2

from tests.api.hostile import table
from tests.conftest import OPERATOR_KEY

#: An answer to any of them, in bytes.
ANSWER_BYTES_MAX = 64 * 1024


async def test_each_is_refused_clearly_or_cheap(client: httpx2.AsyncClient) -> None:
    headers = {"authorization": f"Bearer {OPERATOR_KEY}", "content-type": "application/json"}
    wrong = []
    for name, body, code, says in table():
        answer = await client.post("/graphql", content=body, headers=headers)
        errors = answer.json().get("errors", [])
        found = errors[0]["extensions"]["code"] if errors else None
        said = errors[0]["message"] if errors else answer.text
        if found != code or says not in said or len(answer.content) > ANSWER_BYTES_MAX:
            wrong.append((name, answer.status_code, len(answer.content), found, said[:200]))
        assert answer.status_code < 500, name
    assert wrong == [], "\n".join(map(str, wrong))
