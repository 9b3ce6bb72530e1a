"""What agents read: every kind of WhatsApp message as plain text, in the integration's language.

Pure. Takes what the parsers give for every back end, so that a shape is made in one place. WhatsApp's own marks
(`*bold*`, `_italic_`, `~strike~`, backticks) stay as the customer typed them; see docs/decisions/0033-text-shapes.md.
"""

import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from policycore.agent_words import DEFAULT_LANGUAGE, WORDS
from policycore.inbound import Message, MessageChange

LONGEST_TEXT = 10_000
"""Characters of a customer's text in one line to an agent; the whole text stays in the record."""

_LONGEST_NAME = 200
_LONGEST_QUOTE = 60
_MAP = "https://maps.google.com/?q="
_TEXT, _DOCUMENT, _LOCATION, _CONTACTS, _INTERACTIVE, _ORDER, _POLL = 1, 5, 7, 8, 9, 10, 11
_FILES = {2: "image", 3: "video", 4: "audio", 5: "document", 6: "sticker"}
REACTION, REACTION_REMOVED, EDIT, REVOKE = 1, 2, 3, 4

# The parsers' own labels, always in English, longest first: the words that follow are the customer's.
_LABELS: Mapping[int, tuple[tuple[str, str], ...]] = {
    _LOCATION: (("Location", "location"),),
    _CONTACTS: (("Contacts", "contacts"), ("Contact", "contact")),
    _INTERACTIVE: (("Form", "form"),),
    _ORDER: (("Order", "order"),),
    _POLL: (("Poll answer", "poll_answer"), ("Poll", "poll")),
    12: (
        ("Unsupported message", "other"),
        ("Product", "product"),
        ("Event", "event"),
        ("Group invitation", "invitation"),
    ),
}
_POINT = re.compile(r"(?:^|, )(-?[0-9.e+-]{1,40}),(-?[0-9.e+-]{1,40})$", re.ASCII)
_ITEMS = re.compile(r"^([0-9]{1,18}) items?(?=,|$)", re.ASCII)
# Embeddings, overrides and isolates turn the rest of a line around. Joiners and the two marks are part of writing.
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069\u206a-\u206f\ufeff\u00ad\u180e\u2060]")
_BREAKS = re.compile(r"\r\n?|[\v\f\x1c-\x1e\x85\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Original:
    """An earlier message that a later one answers or changes."""

    message_id: str
    text: str
    kind: int
    outbound: bool


def message_text(message: Message, original: Original | None, language: str) -> str:
    """A message in direct chat as an agent reads it; `original` is what it answers, if known."""
    words = words_of(language)
    parts = [_quote_of(original, words), _body(message, words)]
    if message.from_business:
        parts.insert(0, words["on_phone"])
    return " ".join(part for part in parts if part)


def change_text(change: MessageChange, original: Original | None, language: str) -> str:
    """A reaction, its removal, an edit or a deletion as an agent reads it. A deleted text is not repeated."""
    words = words_of(language)
    quote = _shortened(_plain(original, words), _LONGEST_QUOTE) if original is not None else ""
    known = "" if quote else "_unknown"
    emoji = one_line(change.text, 64)
    said = {
        REACTION: lambda: words[f"reacted{known}"].format(emoji=emoji, quote=quote),
        REACTION_REMOVED: lambda: words[f"unreacted{known}"].format(quote=quote),
        EDIT: lambda: f"{words[f'edited{known}'].format(quote=quote)} {clean_text(change.text, words)}",
        REVOKE: lambda: words["deleted"],
    }.get(change.kind, lambda: words["other"])()
    return f"{words['on_phone']} {said}" if change.from_business else said


def window_text(name: str, ends_at: datetime, minutes: int, language: str) -> str:
    """The line that announces the end of a conversation window; `ends_at` is in the zone that agents read."""
    words = words_of(language)
    who = one_line(name, _LONGEST_NAME) or words["somebody"]
    return words["window_ends"].format(name=who, time=ends_at.strftime("%H:%M"), minutes=minutes)


def words_of(language: str) -> Mapping[str, str]:
    """The words of a language, English for one that the product does not speak."""
    return WORDS.get(language, WORDS[DEFAULT_LANGUAGE])


def one_line(text: str, longest: int) -> str:
    """Text on one line that runs in one direction: no breaks, controls or overrides; cut to `longest` characters."""
    spaced = _BREAKS.sub(" ", text[: 8 * longest])
    kept = "".join(" " if unicodedata.category(each) == "Cc" else each for each in _TURNING.sub("", spaced))
    return _shortened(" ".join(kept.split()), longest)


def clean_text(text: str, words: Mapping[str, str]) -> str:
    """A customer's own text: its lines stay lines, and what would garble an agent's screen is taken out."""
    lines = _BREAKS.sub("\n", _TURNING.sub("", text[: 2 * LONGEST_TEXT]))
    kept = "".join(each for each in lines if each in "\n\t" or unicodedata.category(each) != "Cc").strip()
    if len(text) <= LONGEST_TEXT:
        return kept
    return f"{kept[:LONGEST_TEXT].rstrip()} {words['cut'].format(count=len(text))}"


def _body(message: Message, words: Mapping[str, str]) -> str:
    if message.kind in _FILES:
        return _file(message, words)
    said = clean_text(message.text, words)
    if message.kind == _TEXT:
        return said or words["empty"]
    if message.kind == _INTERACTIVE and message.is_button_reply:
        return f"{words['tapped']} {said}" if said else words["tapped"]
    return _labelled(message.kind, one_line(message.text, LONGEST_TEXT), words)


def _file(message: Message, words: Mapping[str, str]) -> str:
    label = words[_FILES[message.kind]]
    name = one_line(message.media[0].file_name, _LONGEST_NAME) if message.media else ""
    if message.kind == _DOCUMENT and name:
        label = words["document_named"].format(name=name)
    if message.voice:
        length = f"{message.seconds // 60}:{message.seconds % 60:02d}"
        label = words["voice_seconds"].format(length=length) if message.seconds else words["voice"]
    once = words["once"] if message.view_once else ""
    return " ".join(part for part in (label, once, clean_text(message.text, words)) if part)


def _labelled(kind: int, said: str, words: Mapping[str, str]) -> str:
    for english, key in _LABELS.get(kind, ()):
        if said == english or said.startswith(f"{english}: "):
            rest = _rest(kind, said[len(english) + 2 :], words) if key != "other" else ""
            return f"{words[key]} {rest}" if rest else words[key]
    return said or words["other"]


def _rest(kind: int, rest: str, words: Mapping[str, str]) -> str:
    if kind == _LOCATION:
        return _place(rest)
    if kind == _ORDER and (found := _ITEMS.match(rest)):
        return words["items"].format(count=found[1]) + rest[found.end() :]
    return rest


def _place(rest: str) -> str:
    """Name and address, and a link to a map if the coordinates are somewhere on earth."""
    found = _POINT.search(rest)
    if found is None:
        return rest
    named = rest[: found.start()]
    north, east = _degrees(found[1], 90), _degrees(found[2], 180)
    link = f"{_MAP}{north:.6f},{east:.6f}" if north is not None and east is not None else ""
    return " ".join(part for part in (named, link) if part)


def _degrees(text: str, most: float) -> float | None:
    try:
        degrees = float(text)
    except ValueError:
        return None
    return degrees if math.isfinite(degrees) and abs(degrees) <= most else None


def _quote_of(original: Original | None, words: Mapping[str, str]) -> str:
    quote = _shortened(_plain(original, words), _LONGEST_QUOTE) if original is not None else ""
    return words["reply_to"].format(quote=quote) if quote else ""


def _plain(original: Original, words: Mapping[str, str]) -> str:
    """An earlier message on one line: its text, or what it was where it had none."""
    said = one_line(original.text, 2 * _LONGEST_QUOTE)
    if original.kind in _FILES:
        return said or words[_FILES[original.kind]].strip("[]")
    return _labelled(original.kind, said, words) if original.kind > _TEXT and not original.outbound else said


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1].rstrip()}…"
