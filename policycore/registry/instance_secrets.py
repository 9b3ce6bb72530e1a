"""Owns how the secrets of an instance are kept: as one sealed JSON object, with those before a rotation. Pure."""

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

_NAMES = ("api_token", "webhook_secret", "verify_token")


@dataclass(frozen=True, slots=True, repr=False)
class Former:
    """The secrets before a rotation, those that were replaced; the others are empty. They count until `valid_until`."""

    api_token: str
    webhook_secret: str
    verify_token: str
    valid_until: datetime


@dataclass(frozen=True, slots=True, repr=False)
class InstanceSecrets:
    """Key for the back end; webhook secret (token, app secret, HMAC key); Cloud API's verify token."""

    api_token: str = ""
    webhook_secret: str = ""
    verify_token: str = ""
    former: Former | None = None


def rotated(before: InstanceSecrets, after: InstanceSecrets, valid_until: datetime | None) -> InstanceSecrets:
    """The new secrets; those that they replace count until `valid_until`, or no more if that is None.

    What an earlier rotation left counts on, unless this one replaced its successor.
    """
    changed = [name for name in _NAMES if getattr(before, name) not in ("", getattr(after, name))]
    if not changed:
        return replace(after, former=before.former)
    if valid_until is None:
        return replace(after, former=None)
    left = {name: getattr(before, name) if name in changed else "" for name in _NAMES}
    return replace(after, former=Former(**left, valid_until=valid_until))


def pack(secrets: InstanceSecrets) -> str:
    """The text that is sealed."""
    stored: dict[str, Any] = {name: getattr(secrets, name) for name in _NAMES}
    if secrets.former is not None:
        stored["former"] = {name: getattr(secrets.former, name) for name in _NAMES}
        stored["former"]["valid_until"] = secrets.former.valid_until.isoformat()
    return json.dumps(stored)


def unpack(text: str) -> InstanceSecrets:
    """What `pack` made; names a later version added are left out."""
    stored = json.loads(text)
    former = stored.get("former")
    return InstanceSecrets(
        **{name: str(stored.get(name, "")) for name in _NAMES},
        former=None
        if not former
        else Former(
            **{name: str(former.get(name, "")) for name in _NAMES},
            valid_until=datetime.fromisoformat(former["valid_until"]),
        ),
    )
