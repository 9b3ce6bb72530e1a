"""Room for large bodies: small ones always pass, one owner never takes it all, and everything is given back."""

import pytest

from edge.body_room import FREE_BYTES, BodyRoom
from edge.errors import NoRoomError


def test_small_bodies_pass_however_full_it_is() -> None:
    room = BodyRoom(in_all=10, per_owner=10)
    with room.claim("ins_1") as large, room.claim("ins_1") as small:
        large.take(FREE_BYTES + 10)
        for _ in range(FREE_BYTES // 1_024):
            small.take(1_024)
        with pytest.raises(NoRoomError):
            small.take(1)


def test_one_owner_leaves_room_for_the_others() -> None:
    room = BodyRoom(in_all=30, per_owner=10)
    with room.claim("ins_1") as first, room.claim("ins_1") as second, room.claim("ins_2") as other:
        first.take(FREE_BYTES + 10)
        with pytest.raises(NoRoomError):
            second.take(FREE_BYTES + 1)
        other.take(FREE_BYTES + 10)


def test_all_together_are_bounded_and_what_ends_makes_room() -> None:
    room = BodyRoom(in_all=15, per_owner=10)
    with room.claim("ins_1") as first:
        first.take(FREE_BYTES + 10)
        with room.claim("ins_2") as second, pytest.raises(NoRoomError):
            second.take(FREE_BYTES + 6)
    for _ in range(5):
        with room.claim("ins_2") as again:
            again.take(FREE_BYTES + 4)
            again.take(6)
