"""A message whose answer is lost, through the whole product: settled by what the back end shows, by a receipt, or by a
person; never sent again, and holding up nobody.
"""

import asyncio
import json

import grpc
import pytest

from hubgate.policy.v1 import events_pb2, records_pb2
from peers.peer import Script
from support.admin_core import error_info
from support.backend_line import TEXT, open_line
from support.desk import fresh_phone
from support.gateway import Gateway

LOST_AFTER = Script(drop="before_answer", accepts=True, times=1)
LOST_BEFORE = Script(drop="before_answer", times=1)


UNKNOWN = events_pb2.MESSAGE_STATE_UNKNOWN
HANDED_OUT = events_pb2.MESSAGE_STATE_HANDED_OUT


@pytest.mark.parametrize("backend", ["evolution", "waha"])
async def test_a_message_that_the_back_end_shows_is_settled_as_sent(
    running_gateway: Gateway, backend: str
) -> None:
    async with open_line(running_gateway, backend) as line:
        phone = fresh_phone()
        assert await line.peer.post_message(line.webhook, phone, "Hello") == 200
        line.peer.script(phone, LOST_AFTER)
        answer = await line.reply(phone)
        assert answer["status"] == "pending"
        assert await line.state_once_not(answer["message_id"], HANDED_OUT, UNKNOWN) == "SENT"
        settled = await line.message(answer["message_id"])
        assert settled.external_message_id == line.peer.accepted[0].external_message_id
        assert len(line.peer.accepted) == 1, "nothing is sent again"
        assert line.used() == 1
        assert await line.unknown(answer["message_id"]) is None
        # The receipts that follow find it by the id that it has now.
        external_id = settled.external_message_id
        assert await line.peer.post_receipt(line.webhook, external_id, "delivered", phone) == 200
        assert await line.state_once_not(answer["message_id"], events_pb2.MESSAGE_STATE_SENT) == "DELIVERED"


async def test_a_status_with_our_own_id_settles_a_message_of_the_cloud_api(running_gateway: Gateway) -> None:
    async with open_line(running_gateway, "cloud_api") as line:
        phone = fresh_phone()
        assert await line.peer.post_message(line.webhook, phone, "Hello") == 200
        line.peer.script(phone, LOST_AFTER)
        answer = await line.reply(phone)
        assert await line.state_once_not(answer["message_id"], HANDED_OUT) == "UNKNOWN"
        [sent] = line.peer.accepted
        assert sent.json["biz_opaque_callback_data"] == answer["message_id"]
        status = await line.peer.post_receipt(
            line.webhook, sent.external_message_id, "sent", phone, correlation_id=answer["message_id"]
        )
        assert status == 200
        assert await line.state_once_not(answer["message_id"], UNKNOWN) == "SENT"
        assert (await line.message(answer["message_id"])).external_message_id == sent.external_message_id
        assert line.used() == 1 and len(line.peer.accepted) == 1


@pytest.mark.parametrize("backend", ["evolution", "waha", "cloud_api"])
async def test_what_is_not_found_stays_unknown_until_a_person_settles_it(
    running_gateway: Gateway, backend: str
) -> None:
    async with open_line(running_gateway, backend) as line:
        phone = fresh_phone()
        assert await line.peer.post_message(line.webhook, phone, "Hello") == 200
        line.peer.script(phone, LOST_BEFORE)
        lost = (await line.reply(phone))["message_id"]
        assert await line.state_once_not(lost, HANDED_OUT) == "UNKNOWN"
        following = await line.reply(phone, "And your invoice is attached to the ticket.")
        assert following["status"] == "sent", "it holds up nobody"
        assert line.used() == 2
        for _ in range(300):
            row = await line.unknown(lost)
            if row.last_look:
                break
            await asyncio.sleep(0.05)
        looked = {"cloud_api": "not_offered"}.get(backend, "not_found")
        assert (row.last_look, row.looks, row.message.text) == (looked, 1, "")
        assert (await line.message(lost)).state == UNKNOWN, "what is not shown may have been sent"

        settle = records_pb2.SettleMessageRequest(
            message_id=lost, finding=records_pb2.PERSONS_FINDING_NOT_SENT, reason="The chat has only one."
        )
        with pytest.raises(grpc.aio.AioRpcError) as early:
            await line.core.call(line.core.admin.SettleMessage, settle)
        assert error_info(early.value)[:2] == ("FAILED_PRECONDITION", "TOO_EARLY")
        line.grow_older(lost)
        await line.core.call(line.core.admin.SettleMessage, settle)
        assert (await line.message(lost)).state == events_pb2.MESSAGE_STATE_REJECTED
        assert line.used() == 1, "given back once"
        with pytest.raises(grpc.aio.AioRpcError) as again:
            await line.core.call(line.core.admin.SettleMessage, settle)
        assert error_info(again.value)[1] in {"NOT_FOUND", "NOT_UNKNOWN"}
        assert line.used() == 1
        assert TEXT not in [each.text for each in line.peer.accepted], "nothing was sent again"
        audit = await line.core.call(
            line.core.admin.ListAuditEntries,
            records_pb2.ListAuditEntriesRequest(account_id=line.account_id, page_size=1),
        )
        entry = audit.entries[0]
        assert (entry.actor, entry.act, entry.target) == ("admin", "SettleMessage", lost)
        assert json.loads(entry.detail_json) == {"finding": "not_sent", "reason": "The chat has only one."}
