"""Webhooks against a receiver that fails, stalls, redirects and closes, on a clock that is set."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import asyncpg
import pytest
from standardwebhooks import Webhook

from api.limits import WEBHOOKS_OF_ENDPOINT_MAX, WEBHOOKS_OF_TENANT_MAX
from api.operations import (
    webhook_endpoint_delete,
    webhook_endpoint_update,
    webhook_replay,
    webhook_secret_rotate,
)
from api.operations.webhook_endpoint_delete import WebhookEndpointDelete
from api.operations.webhook_endpoint_update import WebhookEndpointUpdate
from api.operations.webhook_replay import WebhookReplay
from api.operations.webhook_secret_rotate import WebhookSecretRotate
from api.reaching.schedule import FAILING_MAX, WAITS, next_try
from api.reaching.signatures import Seals
from api.settings import Clock
from api.signing import Signing
from api.tasks import LEASE
from domain.periods import DAY, HOUR, MINUTE, SECOND
from domain.problems import Problem
from persistence import audit, deliveries, tasks
from persistence.deliveries import Delivery, State
from persistence.webhooks import Endpoint, Reason
from tests.api.reaching.dispatch import SIGNING, Dispatch, delivery_name, name_of
from tests.api.reaching.receiver import (
    CLOSE,
    STALL,
    Answer,
    Receiver,
    Request,
    busy,
    receiving,
    redirect,
)
from tests.conftest import Database, on
from tests.scenarios.world import OPERATOR, World

SHOP = "shop"
FAIL = Answer(status=500, body=b"boom")


@pytest.fixture
async def world(database: Database, redis_url: str) -> AsyncIterator[World]:
    """A tenant with 1,000 visitors a month, at this moment: signatures are checked by the clock."""
    async with World.open(database.app_url, redis_url) as world:
        world.clock.at = Clock().now()
        await world.tenant(SHOP)
        yield world


@pytest.fixture
async def dispatch(world: World) -> AsyncIterator[Dispatch]:
    dispatch = Dispatch.of(world)
    yield dispatch
    await dispatch.webhooks.stop()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def update(dispatch: Dispatch, endpoint: Endpoint, **given: object) -> Endpoint:
    nothing = dict.fromkeys(("url", "kinds", "enabled", "description"))
    request = WebhookEndpointUpdate(  # type: ignore[arg-type]
        tenant=SHOP, id=name_of(endpoint), **(nothing | given)
    )
    now = dispatch.world.clock.now()
    return await webhook_endpoint_update.run(
        dispatch.world.door, SIGNING, OPERATOR, request, now=now
    )


async def replay(dispatch: Dispatch, delivery: Delivery) -> Delivery:
    request = WebhookReplay(tenant=SHOP, delivery=delivery_name(delivery))
    now = dispatch.world.clock.now()
    return await webhook_replay.run(dispatch.world.door, OPERATOR, request, now=now)


def signs(secret: str, request: Request) -> bool:
    """Whether a secret made one of the signatures of a request, as Standard Webhooks checks it."""
    at = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), UTC)
    made = Webhook(secret).sign(request.headers["webhook-id"], at, request.body.decode())
    return made in request.headers["webhook-signature"].split(" ")


async def test_an_alert_is_posted_and_its_signature_checks(
    dispatch: Dispatch, receiver: Receiver
) -> None:
    _, secret = await dispatch.endpoint(SHOP, receiver.url)
    await dispatch.use(SHOP, 700)
    await dispatch.quiet()
    (request,) = receiver.requests
    event = Webhook(secret).verify(request.body, dict(request.headers))
    assert event["type"] == "alert.threshold"
    assert request.headers["webhook-id"] == event["data"]["id"]
    assert request.headers["content-type"] == "application/json"
    (delivery,) = await dispatch.log(SHOP)
    (found,) = delivery.tries
    assert (delivery.state, delivery.due_at, delivery.body) == (
        State.DELIVERED, None, request.body
    )  # fmt: skip
    assert (found.status, found.why, found.answer) == (200, "", "ok")


# Again


async def test_what_fails_is_tried_again_on_a_schedule(
    dispatch: Dispatch, receiver: Receiver
) -> None:
    """At once, then nine times more and further apart; always the same words under the same id."""
    endpoint, _ = await dispatch.endpoint(SHOP, receiver.url)
    receiver.always = FAIL
    await dispatch.use(SHOP, 700)
    await dispatch.quiet()
    for wait in WAITS:
        (delivery,) = await dispatch.log(SHOP)
        assert delivery.state is State.PENDING
        assert delivery.due_at is not None
        assert await dispatch.left(SHOP) == [(tasks.WEBHOOK, delivery.due_at)]
        rest = delivery.due_at - dispatch.world.clock.now()
        assert wait <= rest < wait + wait // 10
        await dispatch.on(rest - 1)
        assert len(receiver.requests) == delivery.tried
        await dispatch.on(1)
    (delivery,) = await dispatch.log(SHOP)
    assert (delivery.state, delivery.due_at, delivery.tried) == (State.FAILED, None, 10)
    assert [(each.status, each.answer) for each in delivery.tries] == [(500, "boom")] * 10
    assert await dispatch.left(SHOP) == []
    assert len({(each.body, each.headers["webhook-id"]) for each in receiver.requests}) == 1
    assert len({each.headers["webhook-timestamp"] for each in receiver.requests}) == 10
    # One event that nobody takes does not switch an endpoint off.
    assert (await dispatch.now_of(endpoint)).disabled_at is None


@pytest.mark.parametrize("answer", [STALL, CLOSE, redirect("https://elsewhere.example/"), FAIL])
async def test_whatever_went_wrong_the_next_try_may_be_taken(
    world: World, receiver: Receiver, answer: Answer
) -> None:
    dispatch = Dispatch.of(world, seconds=0.3)
    endpoint, _ = await dispatch.endpoint(SHOP, receiver.url)
    receiver.answers.append(answer)
    await dispatch.test(SHOP, endpoint)
    await dispatch.quiet()
    assert (await dispatch.now_of(endpoint)).failing_since == world.clock.now()
    await dispatch.on(MINUTE)
    (delivery,) = await dispatch.log(SHOP)
    first, second = delivery.tries
    assert (delivery.state, second.status) == (State.DELIVERED, 200)
    assert first.why
    assert (await dispatch.now_of(endpoint)).failing_since is None
    assert {each.path for each in receiver.requests} == {"/hooks"}
    await dispatch.webhooks.stop()


def test_tries_are_spread_by_their_names_alone() -> None:
    """A thousand that failed together do not come back together; asked twice, it is the same."""
    tries = [next_try(f"alt_{number}", 3, 0) for number in range(1_000)]
    assert tries == [next_try(f"alt_{number}", 3, 0) for number in range(1_000)]
    assert len(set(tries)) > 990
    assert all(each is not None and 30 * MINUTE <= each < 33 * MINUTE for each in tries)
    assert next_try("alt_1", len(WAITS) + 1, 0) is None
    asked = next_try("alt_1", 1, 0, retry_after=HOUR)
    assert asked is not None
    assert HOUR <= asked < HOUR + HOUR // 10
    never = next_try("alt_1", 1, 0, retry_after=1_000 * DAY)
    assert never is not None
    assert never < 2 * DAY


async def test_who_asks_to_be_left_alone_is_left_alone(
    dispatch: Dispatch, receiver: Receiver
) -> None:
    """Retry-After is of the endpoint: what else was to go there waits as well; others do not."""
    endpoint, _ = await dispatch.endpoint(SHOP, f"{receiver.url}/busy")
    other, _ = await dispatch.endpoint(SHOP, f"{receiver.url}/free")
    receiver.answers.append(busy("3600"))
    await dispatch.test(SHOP, endpoint)
    await dispatch.quiet()
    await dispatch.test(SHOP, endpoint)
    await dispatch.test(SHOP, other)
    await dispatch.quiet()
    await dispatch.on(HOUR - 1)
    assert [each.path for each in receiver.requests] == ["/hooks/busy", "/hooks/free"]
    waiting = [each for each in await dispatch.log(SHOP) if each.due_at is not None]
    assert [each.tried for each in waiting] == [1, 0]
    await dispatch.on(10 * MINUTE)
    assert [each.path for each in receiver.requests[2:]] == ["/hooks/busy"] * 2
    assert {each.state for each in await dispatch.log(SHOP)} == {State.DELIVERED}


# Off


async def test_one_that_is_gone_is_switched_off_at_once(
    dispatch: Dispatch, receiver: Receiver
) -> None:
    endpoint, _ = await dispatch.endpoint(SHOP, receiver.url)
    receiver.answers.extend([FAIL, Answer(status=410)])
    for _ in range(2):
        await dispatch.test(SHOP, endpoint)
        await dispatch.quiet()
    off, now = await dispatch.now_of(endpoint), dispatch.world.clock.now()
    assert (off.disabled_at, off.disabled_reason) == (now, Reason.GONE)
    await dispatch.on(MINUTE)  # what waited for its second try
    assert [each.state for each in await dispatch.log(SHOP)] == [State.STOPPED] * 2
    assert len(receiver.requests) == 2
    assert await dispatch.left(SHOP) == []
    await dispatch.use(SHOP, 700)
    await dispatch.quiet()
    # Nothing more goes there; what would have stands in the log.
    assert [each.state for each in await dispatch.log(SHOP)] == [State.STOPPED] * 3
    assert len(receiver.requests) == 2
    asked = audit.Asked(what="webhookEndpointUpdate")
    ((row,),) = await audit.of_tenants(dispatch.world.door, [endpoint.tenant_id], asked, limit=9)
    assert (row.actor, row.actor_kind) == ("job webhook", "job")
    assert json.loads(row.after or "") == {"enabled": False, "reason": "gone"}
    # Switched on again, and what stopped is sent once more: the same, under the same id.
    await update(dispatch, endpoint, enabled=True)
    for each in await dispatch.log(SHOP):
        await replay(dispatch, each)
    await dispatch.quiet()
    assert [each.state for each in await dispatch.log(SHOP)] == [State.DELIVERED] * 3
    sent = [each.headers["webhook-id"] for each in receiver.requests]
    assert sorted(sent[2:])[1:] == sorted(sent[:2])


async def test_one_that_fails_for_five_days_is_switched_off(
    dispatch: Dispatch, receiver: Receiver
) -> None:
    endpoint, _ = await dispatch.endpoint(SHOP, receiver.url)
    receiver.always = FAIL
    began = dispatch.world.clock.now()
    while (found := await dispatch.now_of(endpoint)).disabled_at is None:
        assert dispatch.world.clock.now() < began + FAILING_MAX + DAY
        await dispatch.test(SHOP, endpoint)
        await dispatch.on(DAY)
    assert found.disabled_reason is Reason.FAILING
    assert found.disabled_at - began >= FAILING_MAX
    assert found.failing_since is not None
    assert found.failing_since == began + DAY  # its first try


async def test_one_that_was_asked_nothing_for_long_is_not_switched_off(
    dispatch: Dispatch, receiver: Receiver
) -> None:
    """Two failures a week apart are not a week of failures, nor is one success in between."""
    endpoint, _ = await dispatch.endpoint(SHOP, receiver.url)
    for rest in (7 * DAY, DAY):
        receiver.answers.append(FAIL)
        await dispatch.test(SHOP, endpoint)
        await dispatch.quiet()
        (waiting,) = [each for each in await dispatch.log(SHOP) if each.due_at is not None]
        async with dispatch.world.door.tenant_tx(endpoint.tenant_id) as connection:
            await deliveries.stop(connection, waiting, dispatch.world.clock.now())
        await dispatch.on(rest)
    found = await dispatch.now_of(endpoint)
    assert found.disabled_at is None
    assert found.failing_since == dispatch.world.clock.now() - DAY
    await dispatch.test(SHOP, endpoint)
    await dispatch.quiet()
    assert (await dispatch.now_of(endpoint)).failing_since is None


async def test_what_is_deleted_gets_nothing_more(dispatch: Dispatch, receiver: Receiver) -> None:
    endpoint, _ = await dispatch.endpoint(SHOP, receiver.url)
    await dispatch.test(SHOP, endpoint)
    request = WebhookEndpointDelete(tenant=SHOP, id=name_of(endpoint))
    now = dispatch.world.clock.now()
    await webhook_endpoint_delete.run(dispatch.world.door, OPERATOR, request, now=now)
    await dispatch.quiet()
    assert receiver.requests == []
    assert [each.state for each in await dispatch.log(SHOP)] == [State.STOPPED]
    assert await dispatch.left(SHOP) == []


async def test_what_is_private_is_not_sent_to(world: World, receiver: Receiver) -> None:
    """An endpoint from when this installation was on loopback alone, or a name that moved."""
    dispatch = Dispatch.of(world, loopback=False)
    endpoint, _ = await dispatch.endpoint(SHOP, receiver.url)
    await dispatch.test(SHOP, endpoint)
    await dispatch.quiet()
    (delivery,) = await dispatch.log(SHOP)
    assert delivery.state is State.PENDING
    assert delivery.tries[0].why.startswith("a URL begins with https://")
    assert receiver.requests == []
    await dispatch.webhooks.stop()


# Side by side


async def test_one_that_never_answers_holds_up_nobody_else(
    world: World, receiver: Receiver
) -> None:
    await world.tenant("other")
    dispatch = Dispatch.of(world, seconds=1.0)
    async with receiving() as stalling:
        stalling.always = STALL
        slow, _ = await dispatch.endpoint(SHOP, stalling.url)
        quick, _ = await dispatch.endpoint(SHOP, receiver.url)
        others, _ = await dispatch.endpoint("other", receiver.url)
        for _ in range(20):
            await dispatch.test(SHOP, slow)
        world.clock.at += SECOND
        await dispatch.test(SHOP, quick)
        await dispatch.test("other", others)
        await dispatch.tasks.quiet()
        # Both were sent while the slow one was still being waited for.
        await receiver.came(2)
        assert stalling.open == WEBHOOKS_OF_ENDPOINT_MAX
        await dispatch.webhooks.idle()
        assert stalling.most == WEBHOOKS_OF_ENDPOINT_MAX < WEBHOOKS_OF_TENANT_MAX
        log = await dispatch.log(SHOP)
        assert sum(each.tried for each in log) == WEBHOOKS_OF_ENDPOINT_MAX + 1
        assert all(each.due_at is not None for each in log[:-1])  # the rest waits its turn
    await dispatch.webhooks.stop()


async def test_a_process_that_dies_with_an_answer_on_its_way_sends_it_again(
    world: World, receiver: Receiver
) -> None:
    first, second = Dispatch.of(world, seconds=60.0), Dispatch.of(world)
    endpoint, _ = await first.endpoint(SHOP, receiver.url)
    receiver.answers.append(STALL)
    await first.test(SHOP, endpoint)
    await first.tasks.quiet()
    await receiver.came(1)
    for job in first.webhooks._under_way:
        job.cancel()
    await first.webhooks.idle()
    await second.quiet()
    assert len(receiver.requests) == 1  # the lease is still somebody's
    await second.on(LEASE)
    one, two = receiver.requests
    assert (one.headers["webhook-id"], one.body) == (two.headers["webhook-id"], two.body)
    (delivery,) = await second.log(SHOP)
    assert (delivery.state, delivery.tried) == (State.DELIVERED, 1)
    for each in (first, second):
        await each.webhooks.stop()


async def test_who_lost_a_lease_notes_nothing(world: World, receiver: Receiver) -> None:
    """One that was held up for minutes comes back behind another one that has sent it."""
    first, second = Dispatch.of(world, seconds=60.0), Dispatch.of(world)
    endpoint, _ = await first.endpoint(SHOP, receiver.url)
    await first.test(SHOP, endpoint)
    (task,) = await tasks.take(world.door, tasks.WEBHOOK, world.clock.now(), lease=LEASE, limit=9)
    async with world.door.tenant_tx(task.tenant_id) as connection:
        delivery = await deliveries.find(connection, task.tenant_id, int(task.key))
    assert delivery is not None
    await second.on(LEASE)
    await first.webhooks._keep(task, delivery, endpoint)
    assert len(receiver.requests) == 2
    (after,) = await second.log(SHOP)
    assert (after.state, after.tried, len(after.tries)) == (State.DELIVERED, 1, 1)
    for each in (first, second):
        await each.webhooks.stop()


async def test_what_cannot_be_kept_is_not_sent_on_end(
    dispatch: Dispatch, receiver: Receiver, owner_url: str
) -> None:
    """A database that refuses what came of a try: each next one is further away."""
    endpoint, _ = await dispatch.endpoint(SHOP, receiver.url)
    await on(owner_url, "alter table deliveries add constraint never check (state <> 2)")
    await dispatch.test(SHOP, endpoint)
    for tries, wait in enumerate(WAITS[:4], 1):
        await dispatch.quiet()
        assert len(receiver.requests) == tries
        assert await dispatch.left(SHOP) == [(tasks.WEBHOOK, dispatch.world.clock.now() + wait)]
        dispatch.world.clock.at += wait
    await on(owner_url, "alter table deliveries drop constraint never")
    await dispatch.quiet()
    (delivery,) = await dispatch.log(SHOP)
    assert (delivery.state, delivery.tried) == (State.DELIVERED, 1)
    assert len({each.headers["webhook-id"] for each in receiver.requests}) == 1


# Secrets


async def test_for_a_day_the_old_secret_signs_beside_the_new_one(
    dispatch: Dispatch, receiver: Receiver
) -> None:
    endpoint, old = await dispatch.endpoint(SHOP, receiver.url)
    request = WebhookSecretRotate(tenant=SHOP, id=name_of(endpoint))
    world = dispatch.world
    made = await webhook_secret_rotate.run(
        world.door, SIGNING, OPERATOR, request, now=world.clock.now()
    )
    seen = []
    for rest in (0, DAY - 1, 1):
        world.clock.at += rest
        await dispatch.test(SHOP, endpoint)
        await dispatch.quiet()
        latest = receiver.requests[-1]
        seen.append((signs(old, latest), signs(made.secret, latest)))
    assert seen == [(True, True), (True, True), (False, True)]


async def test_a_second_rotation_waits_for_the_first(
    dispatch: Dispatch, receiver: Receiver
) -> None:
    """It would leave out the secret that the receiver knows."""
    endpoint, old = await dispatch.endpoint(SHOP, receiver.url)
    request = WebhookSecretRotate(tenant=SHOP, id=name_of(endpoint))
    world = dispatch.world

    async def rotate() -> None:
        await webhook_secret_rotate.run(
            world.door, SIGNING, OPERATOR, request, now=world.clock.now()
        )

    await rotate()
    with pytest.raises(Problem, match="rotated lately"):
        await rotate()
    await dispatch.test(SHOP, endpoint)
    await dispatch.quiet()
    assert signs(old, receiver.requests[-1])
    world.clock.at += DAY
    await rotate()


async def test_a_secret_stands_nowhere(
    dispatch: Dispatch, receiver: Receiver, owner_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in the database, which has it sealed, nor in a log line or an answer."""
    caplog.set_level(logging.DEBUG)
    endpoint, first = await dispatch.endpoint(SHOP, f"{receiver.url}?token=of-the-receiver")
    request = WebhookSecretRotate(tenant=SHOP, id=name_of(endpoint))
    world = dispatch.world
    made = await webhook_secret_rotate.run(
        world.door, SIGNING, OPERATOR, request, now=world.clock.now()
    )
    receiver.answers.append(Answer(status=410))
    await dispatch.test(SHOP, endpoint)
    await dispatch.quiet()
    words = [first, made.secret]
    hidden = [each.removeprefix("whsec_") for each in words]
    hidden += [base64.b64decode(each).hex() for each in hidden]
    connection = await asyncpg.connect(owner_url)
    kept = ""
    for row in await connection.fetch(
        "select c.oid::regclass::text as name from pg_class c "
        "where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'"
    ):
        found = await connection.fetchval(f"select string_agg(t::text, '|') from {row['name']} t")
        kept += found or ""
    trail = await connection.fetchval("select string_agg(t::text, '|') from audit t")
    await connection.close()
    assert "of-the-receiver" in kept
    assert "of-the-receiver" not in trail  # what stands behind a ? may be a secret
    for secret in hidden:
        assert secret not in kept
        assert secret not in caplog.text
    assert "of-the-receiver" not in caplog.text


async def test_a_secret_of_another_installation_is_told(
    dispatch: Dispatch, receiver: Receiver
) -> None:
    """KUOTA_SECRET was changed: nothing is sent unsigned, the log says why, rotating mends it."""
    endpoint, _ = await dispatch.endpoint(SHOP, receiver.url)
    dispatch.webhooks._seals = Seals(Signing("another secret of an installation"))
    await dispatch.test(SHOP, endpoint)
    await dispatch.quiet()
    (delivery,) = await dispatch.log(SHOP)
    assert "KUOTA_SECRET" in delivery.tries[0].why
    assert receiver.requests == []


# The log


async def test_what_is_long_over_is_cleared_away(dispatch: Dispatch, receiver: Receiver) -> None:
    endpoint, _ = await dispatch.endpoint(SHOP, receiver.url)
    await dispatch.test(SHOP, endpoint)
    await dispatch.quiet()
    receiver.always = FAIL
    await dispatch.test(SHOP, endpoint)
    await dispatch.quiet()
    door, now = dispatch.world.door, dispatch.world.clock.now()
    assert await deliveries.clear(door, now, limit=10) == 0
    assert await deliveries.clear(door, now + 1, limit=10) == 1
    (left,) = await dispatch.log(SHOP)
    assert left.state is State.PENDING


async def test_of_two_tests_each_has_an_id_of_its_own(
    dispatch: Dispatch, receiver: Receiver
) -> None:
    endpoint, secret = await dispatch.endpoint(SHOP, receiver.url)
    made = [await dispatch.test(SHOP, endpoint) for _ in range(2)]
    await dispatch.quiet()
    assert {each.event for each in made} == {
        each.headers["webhook-id"] for each in receiver.requests
    }
    bodies: Sequence[dict[str, object]] = [
        Webhook(secret).verify(each.body, dict(each.headers)) for each in receiver.requests
    ]
    assert [each["type"] for each in bodies] == ["webhook.test"] * 2
    assert bodies[0]["data"] == {"tenant": SHOP, "endpoint": name_of(endpoint)}
