"""Ids with a prefix. Pure: the random bytes are an argument."""

from base64 import b32encode
from collections.abc import Callable

RandomBytes = Callable[[int], bytes]


def new_id(prefix: str, random_bytes: RandomBytes) -> str:
    """An id such as `msg_k3v…`: the prefix and 100 random bits as 20 lower-case characters."""
    return prefix + b32encode(random_bytes(13)).decode("ascii")[:20].lower()
