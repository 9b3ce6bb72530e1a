"""What 3CX posts to its provider of text messages: raw bytes to one reply of an agent.

Pure. The body is `{"from": "+DID", "to": "+customer", "text": "…"}`, plain strings without any id
(https://github.com/NdoleStudio/httpsms, https://github.com/EC-SH/3cx-SMS-VI-Connector). Which name files travel under
is not known for certain, so every name in use is looked for: a file that was overlooked would be a lost one.
"""

from dataclasses import dataclass
from typing import Final

from edge.strict_json import JsonValue, check_storable, read_object

NUMBER_LIMIT: Final = 64
UNREADABLE_NUMBER: Final = "(unreadable)"
"""Stands for a number that is present but no text, or absurdly long: no reader takes it for a number."""

MEDIA_NAMES: Final = ("media_urls", "media", "attachments")


@dataclass(slots=True)
class AgentReply:
    """One reply as the phone system wrote it; fields that it left out are empty."""

    from_number: str
    to: str
    text: str
    attachments: int


def parse(raw: bytes) -> AgentReply:
    """Reads one body. Raises InvalidJsonError; whatever is a JSON object gives a reply, however odd."""
    body = read_object(raw)
    text = body.get("text")
    return AgentReply(
        from_number=_number(body, "from"),
        to=_number(body, "to"),
        text=check_storable(text, "text") if isinstance(text, str) else "",
        attachments=sum(_count(body.get(name)) for name in MEDIA_NAMES),
    )


def _number(body: dict[str, JsonValue], name: str) -> str:
    """A number as it was written. A space in front stays: it may be what was left of a plus sign."""
    value = body.get(name)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if value is None:
        return ""
    if not isinstance(value, str):
        return UNREADABLE_NUMBER
    written = value.rstrip()
    return UNREADABLE_NUMBER if len(written) > NUMBER_LIMIT else check_storable(str(written), name)


def _count(value: JsonValue) -> int:
    """How many files a field holds; whatever is there and no list counts as one."""
    if isinstance(value, list):
        return len(value)
    return 0 if value in (None, "", False) or value == {} else 1
