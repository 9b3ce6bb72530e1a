"""Owns how the three secrets of an instance are kept: as one sealed JSON object. Pure."""

import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, repr=False)
class InstanceSecrets:
    """Key for the back end; webhook secret (token, app secret, HMAC key); Cloud API's verify token."""

    api_token: str = ""
    webhook_secret: str = ""
    verify_token: str = ""


def pack(secrets: InstanceSecrets) -> str:
    """The text that is sealed."""
    return json.dumps(
        {
            "api_token": secrets.api_token,
            "webhook_secret": secrets.webhook_secret,
            "verify_token": secrets.verify_token,
        }
    )


def unpack(text: str) -> InstanceSecrets:
    """What `pack` made; names a later version added are left out."""
    stored = json.loads(text)
    return InstanceSecrets(
        api_token=str(stored.get("api_token", "")),
        webhook_secret=str(stored.get("webhook_secret", "")),
        verify_token=str(stored.get("verify_token", "")),
    )
