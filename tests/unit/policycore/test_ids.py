"""Ids: their shape, how much chance is in them, and that many from one draw are as good as one each."""

import os
import re
from collections import Counter

from policycore.ids import new_id, new_ids

SHAPE = re.compile(r"msg_[a-z2-7]{20}")


def test_an_id_is_its_prefix_and_twenty_characters() -> None:
    assert SHAPE.fullmatch(new_id("msg_", os.urandom))


def test_every_character_is_as_likely_as_any_other() -> None:
    made = new_ids("", lambda count: bytes(range(256)) * (count // 256), 256)
    counted = Counter("".join(made))
    assert len(counted) == 32
    assert set(counted.values()) == {len(made) * 20 // 32}


def test_ids_of_one_draw_differ_and_have_the_shape_of_one() -> None:
    drawn: list[int] = []

    def random_bytes(count: int) -> bytes:
        drawn.append(count)
        return os.urandom(count)

    made = new_ids("msg_", random_bytes, 500)
    assert len(set(made)) == 500
    assert all(SHAPE.fullmatch(one) for one in made)
    assert len(drawn) == 1
    assert new_ids("msg_", random_bytes, 0) == []


def test_ids_of_one_draw_are_those_of_single_draws() -> None:
    drawn = os.urandom(60)
    places = iter((drawn[:20], drawn[20:40], drawn[40:]))
    assert new_ids("x_", lambda count: drawn[:count], 3) == [
        new_id("x_", lambda _: next(places)) for _ in "abc"
    ]
