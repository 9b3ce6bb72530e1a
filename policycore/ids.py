"""Ids with a prefix. Pure: the random bytes are an argument."""

from collections.abc import Callable

RandomBytes = Callable[[int], bytes]

_CHARACTERS = 20
_ALPHABET = b"abcdefghijklmnopqrstuvwxyz234567"
_LETTER_OF_BYTE = _ALPHABET * (256 // len(_ALPHABET))
"""Every character stands for as many bytes as any other, so that none is likelier."""


def new_id(prefix: str, random_bytes: RandomBytes) -> str:
    """An id such as `msg_k3v…`: the prefix and 100 random bits as 20 lower-case characters."""
    return prefix + random_bytes(_CHARACTERS).translate(_LETTER_OF_BYTE).decode("ascii")


def new_ids(prefix: str, random_bytes: RandomBytes, count: int) -> list[str]:
    """`count` ids from one draw: asking the system for randomness costs more than making an id of it."""
    drawn = random_bytes(_CHARACTERS * count).translate(_LETTER_OF_BYTE).decode("ascii")
    return [prefix + drawn[at : at + _CHARACTERS] for at in range(0, _CHARACTERS * count, _CHARACTERS)]
