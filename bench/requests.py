"""Builds the load: signed 3CX replies, each with a text of its own."""

import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

TOKEN = "ref [a-z]+-[0-9]+-[0-9]+"
"""What marks each text, as a regular expression: `ref <drive>-<round>-<number>`."""


@dataclass(frozen=True, slots=True)
class Door:
    """One integration's webhook, and the persons who may be written to through it."""

    path: str
    secret: str
    phones: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """One reply: the mark in its text, and the bytes of its HTTP request."""

    token: str
    raw: bytes


def replies(doors: list[Door], label: str, host: str) -> Iterator[Request]:
    """Replies without end, over all doors and persons in turn, signed at the moment they are taken.

    `label` is `<drive>-<round>`. The signature is the contract's: HMAC-SHA256 over timestamp, dot and body.
    """
    number = 0
    while True:
        door = doors[number % len(doors)]
        turn = number // len(doors)
        phone = door.phones[turn % len(door.phones)]
        token = f"ref {label}-{number}"
        yield Request(token, _raw(door, phone, token, turn, host))
        number += 1


def _raw(door: Door, phone: str, token: str, turn: int, host: str) -> bytes:
    body = json.dumps(
        {
            "event_type": "outbound_message",
            "to": phone,
            "message_text": (
                f"Hello, this is the service desk about your ticket {token}. Our technician looked at the router"
                f" and will call you back at extension {100 + turn % 50} this afternoon."
            ),
            "message_purpose": "support",
            "conversation_id": f"3cx-chat-{phone[1:]}",
            "agent_extension": str(100 + turn % 50),
        }
    ).encode()
    timestamp = str(int(time.time()))
    signature = hmac.new(door.secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    head = (
        f"POST {door.path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nX-WhatsApp-Gateway-3CX-Secret: {door.secret}\r\n"
        f"X-WhatsApp-Gateway-Timestamp: {timestamp}\r\nX-WhatsApp-Gateway-Signature: sha256={signature}\r\n\r\n"
    )
    return head.encode() + body
