"""Findings as JSON in the policy log, and back."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from policycore.ledger import MessageView
from policycore.model import Finding
from policycore.reasons import CheckName, ReasonCode, Verdict

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def encode_json(value: Any) -> str:
    """Compact JSON text of plain values and datetimes."""
    return _encode(value).decode("utf-8")


def encode_findings(findings: Sequence[Finding]) -> str:
    """Findings as JSON; fields without a value are left out, as `Finding` says of itself."""
    return encode_json(findings)


def decode_findings(text: str) -> tuple[Finding, ...]:
    """Findings from JSON."""
    return tuple(_from_plain(plain) for plain in _decode(text))


def _from_plain(plain: dict[str, Any]) -> Finding:
    passes_at = plain.get("passes_at")
    return Finding(
        check=CheckName(plain["check"]),
        verdict=Verdict(plain["verdict"]),
        reason=ReasonCode(plain["reason"]),
        explanation=plain.get("explanation", ""),
        shadow=plain.get("shadow", False),
        limit=plain.get("limit"),
        used=plain.get("used"),
        passes_at=datetime.fromisoformat(passes_at) if passes_at else None,
        facts=plain.get("facts", {}),
    )


_decode_view = msgspec.json.Decoder(MessageView).decode


def decode_view(text: str) -> MessageView:
    """A message as it was written into the event stream."""
    return _decode_view(text)
