"""What requests that mean harm cost a served process: `python -m tests.bench.hostile [--full]`.

Each of `tests.api.hostile` is sent some ten times, one after the other, with a comment that makes
it a document nobody has read before; the figure is the process's own CPU time for one. Beside them
the introspection query of today's tools, which means no harm. Fails where one takes over 20 ms.
"""

import argparse
import json
from pathlib import Path
from statistics import median

import httpx2
from graphql import get_introspection_query

from tests.api.hostile import Hostile, table, written
from tests.bench.served import Served, serve

#: Milliseconds of the server for any of them.
MOST = 20.0
ROUNDS = 12
REFERENCE = f"{MOST:g} MS"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--full", action="store_true", help="four times as often")
    rounds = ROUNDS * (4 if arguments.parse_args().full else 1)
    with serve(KUOTA_RATE_LIMIT="0") as served:
        headers = {"Authorization": f"Bearer {served.key}", "Content-Type": "application/json"}
        with httpx2.Client(base_url=served.url, headers=headers) as client:
            least = Hostile("", written({"query": "{a}"}), None, "")
            took = milliseconds(served, client, least, rounds)
            print(f"{'a field there is not':32}{took:8.2f} ms", flush=True)
            found = {each.name: milliseconds(served, client, each, rounds) for each in table()}
            tools = Hostile("", written({"query": get_introspection_query()}), None, "")
            took = milliseconds(served, client, tools, rounds)
    for name, one in sorted(found.items(), key=lambda pair: -pair[1]):
        print(f"{name:32}{one:8.2f} ms")
    print(f"{'introspection, as tools ask it':32}{took:8.2f} ms")
    worst = max(found.values())
    print(f"ratio {worst / MOST:.3f} of {REFERENCE}")
    if worst > MOST:
        raise SystemExit(1)


def milliseconds(served: Served, client: httpx2.Client, hostile: Hostile, rounds: int) -> float:
    """The process's CPU time for one: the middle one's, for other work goes on beside them."""
    took = []
    for number in range(rounds):
        body = fresh(hostile.body, number)
        before = running_nanoseconds(served.pid)
        client.post("/graphql", content=body)
        took.append(running_nanoseconds(served.pid) - before)
    return median(took) / 1e6


def running_nanoseconds(pid: int) -> int:
    """How long the process's first thread, which runs the loop, has had a core."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


def fresh(body: bytes, number: int) -> bytes:
    """The same with another text of the document, where it has one."""
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        return body
    if not isinstance(request, dict) or not isinstance(request.get("query"), str):
        return body
    # In front: an end that nobody comes to would hide it.
    return written(request | {"query": f"#{number}\n{request['query']}"})


if __name__ == "__main__":
    main()
