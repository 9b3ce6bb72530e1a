"""An instance that takes everything and tells of nothing, through the whole product: held, shown, and released."""

import asyncio
from typing import Any

from hubgate.policy.v1 import events_pb2, instances_pb2
from support.backend_line import Line, open_line
from support.desk import fresh_phone
from support.gateway import Gateway

MINUTE = 60 * 1_000_000


def pass_time(line: Line, minutes: int) -> None:
    """What was sent, and how its instance is marked, is so much longer ago."""
    span = minutes * MINUTE
    for column in ("created_at", "updated_at", "handed_out_at", "settled_at"):
        line.execute(
            f"UPDATE messages SET {column} = {column} - ? WHERE instance_id = ?", span, line.instance_id
        )
    line.execute(
        "UPDATE instances SET state_changed_at = state_changed_at - ?, unacknowledged_since = unacknowledged_since - ?,"
        " held_until = held_until - ? WHERE id = ?",
        *(span, span, span, line.instance_id),
    )


async def shown(line: Line) -> Any:
    """The instance as administrators see it."""
    request = instances_pb2.ListInstancesRequest(account_id=line.account_id)
    [instance] = (await line.core.call(line.core.admin.ListInstances, request)).instances
    return instance


async def once_marked(line: Line, marked: bool) -> Any:
    """The instance once it is marked, or not any more; every policy core looks twice a minute."""
    for _ in range(900):
        instance = await shown(line)
        if instance.HasField("unacknowledged_since") is marked:
            return instance
        await asyncio.sleep(0.1)
    raise AssertionError(instance)


async def acknowledge(line: Line, phone: str, external_id: str) -> None:
    """WhatsApp's own word that a message is on its way."""
    assert await line.peer.post_receipt(line.webhook, external_id, "sent", phone) == 200


async def test_an_instance_without_acknowledgements_is_held_until_they_come(running_gateway: Gateway) -> None:
    async with open_line(running_gateway, "evolution") as line:
        phone = fresh_phone()
        assert await line.peer.post_message(line.webhook, phone, "Hello") == 200
        pass_time(line, 60 * 24)
        assert await line.peer.post_message(line.webhook, phone, "Are you there?") == 200
        await line.reply(phone)
        await acknowledge(line, phone, line.peer.accepted[0].external_message_id)
        pass_time(line, 30)
        for _ in range(3):
            await line.reply(phone)
        pass_time(line, 5)
        instance = await once_marked(line, marked=True)
        assert instance.state == events_pb2.INSTANCE_STATE_OPEN, "the back end says that all is well"
        refused = await line.ask(phone)
        assert refused.status_code == 503
        told = refused.json()
        assert told["error"] == "instance_not_connected"
        [finding] = told["details"]["findings"]
        assert "was acknowledged" in finding["message"]
        assert int(refused.headers["Retry-After"]) > 0
        before = len(line.peer.accepted)
        # A receipt of any of them ends it.
        await acknowledge(line, phone, line.peer.accepted[-1].external_message_id)
        await once_marked(line, marked=False)
        await line.reply(phone)
        assert len(line.peer.accepted) == before + 1
