"""What an admin of the demo's shop sees in the morning: the week, who did what, a chart, a file.

Owns the questions and how their answers are told. Everything told comes back from the API.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2

from api.cli.businesses import SHOP
from api.cli.founding import Word, ask, mutation
from api.cli.low import News, read
from api.cli.terminal import Failure

#: Seconds between two looks at the file that is being made.
LOOK_SECONDS = 0.5

MORNING = """
query ($tenant: String!) { tenant(key: $tenant) {
    usageSummary(range: {preset: LAST_7_DAYS}, compare: true) {
      metrics(only: [CONVERSATIONS, VISITORS, MESSAGES_OUT]) { metric value change }
      costs { total { amount { formatted } change } } }
    userUsage(range: {preset: LAST_7_DAYS}) { nodes {
      user { name } figures { messagesOut conversations cost { formatted } } lastActivity } }
    broadcasts(range: {preset: THIS_MONTH}, first: 2) { nodes {
      id recipients delivered failed cost { formatted } } }
    usageChart(metrics: [MESSAGES_OUT], range: {preset: THIS_MONTH}, groupBy: [CATEGORY]) {
      url } } }
"""
FILE = """
query ($tenant: String!, $id: ID!) { tenant(key: $tenant) {
    export(id: $id) { state done total download { url name } } } }
"""

#: How metrics are told.
NAMES = {"CONVERSATIONS": "conversations", "VISITORS": "visitors", "MESSAGES_OUT": "messages out"}


async def tell(client: httpx2.AsyncClient, url: str, news: News) -> None:
    """Tell the morning once."""
    tenant = (await read(client, MORNING, tenant=SHOP.key))["tenant"]
    summary = tenant["usageSummary"]
    total = summary["costs"]["total"]
    week = [
        f"{int(each['value']):,} {NAMES[each['metric']]}{_change(each['change'])}"
        for each in summary["metrics"]
    ]
    week.append(f"{total['amount']['formatted']}{_change(total['change'])}")
    news.tell(f"morning  the last 7 days: {', '.join(week)}", {"event": "week", **summary})
    for node in tenant["userUsage"]["nodes"]:
        figures = node["figures"]
        news.tell(
            f"morning  {node['user']['name']}: {int(figures['messagesOut']):,} messages out,"
            f" {int(figures['conversations']):,} conversations, {figures['cost']['formatted']},"
            f" at work until {node['lastActivity']}",
            {"event": "user", **node},
        )
    for node in tenant["broadcasts"]["nodes"]:
        news.tell(
            f"morning  broadcast {node['id']}: {node['recipients']} recipients,"
            f" {node['delivered']} delivered, {node['failed']} failed, {node['cost']['formatted']}",
            {"event": "broadcast", **node},
        )
    chart = _whole(url, tenant["usageChart"]["url"])
    news.tell(f"morning  chart {chart}", {"event": "chart", "url": chart})
    file = await _file(client)
    at = _whole(url, file["url"])
    line = f"morning  file {file['name']} {at}"
    news.tell(line, {"event": "file", "name": file["name"], "url": at})


async def _file(client: httpx2.AsyncClient) -> dict[str, Any]:
    """This month's WhatsApp usage as a spreadsheet, once it is made."""
    report = {
        "kind": Word("WHATSAPP_USAGE"), "format": Word("XLSX"),
        "range": {"preset": Word("THIS_MONTH")},
    }  # fmt: skip
    wanted = mutation(
        "exportCreate", "export { id }", tenant=SHOP.key, report=report,
        idempotencyKey="demo-morning",
    )  # fmt: skip
    made = (await ask(client, [wanted]))["m0"]["export"]
    while True:
        answer = await read(client, FILE, tenant=SHOP.key, id=made["id"])
        export = answer["tenant"]["export"]
        if export["state"] not in ("WAITING", "RUNNING"):
            break
        await asyncio.sleep(LOOK_SECONDS)
    found: dict[str, Any] | None = export["download"]
    if found is None:
        raise Failure(f"the demo's file was not made: {export}")
    return found


def _change(percent: str | None) -> str:
    return "" if percent is None else f" ({float(percent):+.1f} %)"


def _whole(url: str, path: str) -> str:
    return path if path.startswith("http") else f"{url}{path}"
