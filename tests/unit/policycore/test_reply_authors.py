"""Who wrote a reply: same person, text and time; never a guess between two agents."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policycore.pbx_authors import NEAR, Reply, WrittenInChat, authors

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
PHONE = "+966500000001"


def reply(number: int = 1, seconds: float = 0, **fields: Any) -> Reply:
    values = {"phone": PHONE, "text": "Hello there", **fields}
    return Reply(f"msg_{number}", created_at=NOW + timedelta(seconds=seconds), **values)


def written(number: int = 1, seconds: float = 0, **fields: Any) -> WrittenInChat:
    values = {
        "conversation_id": "c1",
        "text": "Hello there",
        "sender_number": "150",
        "sender_name": "Sara",
        "phones": (),
        **fields,
    }
    return WrittenInChat(str(number), sent_at=NOW + timedelta(seconds=seconds), **values)


CUSTOMER = written(99, -60, sender_number=PHONE, sender_name="", text="Hi", phones=("00966500000001",))


def test_a_reply_is_its_agents_by_the_chat_it_was_written_in() -> None:
    [found] = authors([reply()], [CUSTOMER, written(text="Hello \n there")])
    assert (found.message_id, found.chat_message_id, found.extension, found.name) == (
        "msg_1",
        "1",
        "150",
        "Sara",
    )


@pytest.mark.parametrize(
    "other",
    [
        written(text="Hello"),
        written(conversation_id="c2"),
        written(seconds=NEAR.total_seconds() + 1),
        written(sender_number=PHONE),
        written(sender_number=""),
        written(sender_number="guest-7"),
    ],
)
def test_what_does_not_fit_is_nobodys(other: WrittenInChat) -> None:
    assert authors([reply()], [CUSTOMER, other]) == []


def test_two_agents_who_wrote_alike_are_not_guessed_between() -> None:
    assert authors([reply()], [CUSTOMER, written(1), written(2, sender_number="151")]) == []


def test_equal_texts_are_told_apart_by_order_and_one_is_used_once() -> None:
    replies = [reply(2, 10), reply(1, 0), reply(3, 20)]
    found = authors(replies, [CUSTOMER, written(8, 11), written(7, 1)])
    assert [(each.message_id, each.chat_message_id) for each in found] == [("msg_1", "7"), ("msg_2", "8")]
    assert authors([reply(2, 10)], [CUSTOMER, written(7, 1), written(8, 11)], {"7"})[0].chat_message_id == "8"


_texts = st.sampled_from(["a", "b"])
_replies = st.lists(st.tuples(_texts, st.integers(0, 300)), max_size=6)
_written = st.lists(st.tuples(_texts, st.integers(0, 300), st.sampled_from(["150", "151", "x"])), max_size=6)


@given(_replies, _written)
def test_nothing_is_used_twice_and_all_fits(
    replies: list[tuple[str, int]], chat: list[tuple[str, int, str]]
) -> None:
    sent = {f"msg_{n}": reply(n, seconds, text=text) for n, (text, seconds) in enumerate(replies)}
    there = {
        str(n): written(n, seconds, text=text, sender_number=number)
        for n, (text, seconds, number) in enumerate(chat)
    }
    found = authors(sent.values(), [CUSTOMER, *there.values()])
    assert len({each.message_id for each in found}) == len(found) == len({e.chat_message_id for e in found})
    for each in found:
        mine, theirs = sent[each.message_id], there[each.chat_message_id]
        assert mine.text == theirs.text and abs(mine.created_at - theirs.sent_at) <= NEAR
        assert each.extension == theirs.sender_number != "x"
