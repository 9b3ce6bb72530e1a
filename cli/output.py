"""Owns what is printed: JSON for scripts, tables for people."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.table import Table
from rich.text import Text

_WIDE = 240

Cell = str | Callable[[Any], Any]
"""A column of a table: the name of a field, or what to make of a row."""


def to_plain(message: Message) -> dict[str, Any]:
    """A message as JSON values, with the contract's field names and every field."""
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def print_json(value: Any) -> None:
    """JSON on standard output: messages, lists of messages, or plain values."""
    sys.stdout.write(json.dumps(_plain(value), ensure_ascii=False, indent=2) + "\n")


def print_table(rows: Sequence[Any], columns: Mapping[str, Cell], *, empty: str) -> None:
    """A table for people; the sentence `empty` if there is nothing to show."""
    # A script that reads the table gets whole lines; a terminal gets what fits.
    console = Console(width=None if sys.stdout.isatty() else _WIDE)
    if not rows:
        console.print(Text(empty))
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(words(_cell(row, cell))) for cell in columns.values()))
    console.print(table)


def print_fields(pairs: Sequence[tuple[str, Any]]) -> None:
    """One thing, a line for each of its fields."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(Text(name), Text(words(value)))
    Console().print(table)


def print_message(message: Message, *, leave_out: Sequence[str] = ()) -> None:
    """A message, a line for each field that has a value."""
    pairs = [
        (field.name.replace("_", " "), _field(message, field.name))
        for field, _ in message.ListFields()
        if field.name not in leave_out
    ]
    print_fields(pairs)


def say(sentence: str) -> None:
    """A sentence on standard output."""
    Console(soft_wrap=True).print(Text(sentence))


def warn(sentence: str) -> None:
    """A sentence on standard error."""
    sys.stderr.write(sentence + "\n")


def words(value: Any) -> str:
    """A value as people read it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Timestamp):
        return f"{value.ToDatetime(UTC):%Y-%m-%d %H:%M:%S}Z" if value.seconds else ""
    if isinstance(value, Duration):
        return f"{value.ToTimedelta()}"
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence):
        return ", ".join(words(part) for part in value)
    return str(value)


def enum_word(message: Message, field: str) -> str:
    """An enum field's value as a word: `PLAN_STARTER` -> `starter`."""
    return _enum_value(message.DESCRIPTOR.fields_by_name[field].enum_type, getattr(message, field))


def _enum_value(descriptor: Any, number: int) -> str:
    value = descriptor.values_by_number.get(number)
    if value is None:
        return str(number)
    prefix = "".join("_" + letter if letter.isupper() else letter for letter in descriptor.name)
    return str(value.name).removeprefix(prefix.strip("_").upper() + "_").lower()


def _field(message: Message, name: str) -> Any:
    descriptor: Any = message.DESCRIPTOR.fields_by_name[name]
    value = getattr(message, name)
    if descriptor.enum_type is not None:
        numbers = value if descriptor.is_repeated else [value]
        return ", ".join(_enum_value(descriptor.enum_type, number) for number in numbers)
    if isinstance(value, Message) and not isinstance(value, Timestamp | Duration):
        return ", ".join(words(_field(value, part.name)) for part, _ in value.ListFields())
    return value


def _cell(row: Any, cell: Cell) -> Any:
    return cell(row) if callable(cell) else _field(row, cell)


def _plain(value: Any) -> Any:
    if isinstance(value, Message):
        return to_plain(value)
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return value
