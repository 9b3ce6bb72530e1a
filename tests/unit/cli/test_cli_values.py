"""What people type, and what they are shown."""

from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from cli.errors import CliError, ExitCode
from cli.output import enum_word, to_plain, words
from cli.values import read_enum, read_moment, read_span
from hubgate.policy.v1 import accounts_pb2, controls_pb2, instances_pb2, reasons_pb2


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        (" 24 H ", timedelta(days=1)),
        ("7d", timedelta(days=7)),
        ("0s", timedelta(0)),
    ],
)
def test_lengths_of_time(text: str, span: timedelta) -> None:
    assert read_span("--for", text) == span


@pytest.mark.parametrize("text", ["", "5", "m", "-5m", "1.5h", "5 weeks", "٥m", "9999999999s"])
def test_what_is_no_length_of_time(text: str) -> None:
    with pytest.raises(CliError, match="--for") as caught:
        read_span("--for", text)
    assert caught.value.code is ExitCode.USAGE


def test_moments() -> None:
    assert read_moment("--until", "2026-03-14T18:00:00+03:00") == datetime(2026, 3, 14, 15, tzinfo=UTC)
    assert read_moment("--until", "2026-03-14 18:00") == datetime(2026, 3, 14, 18, tzinfo=UTC)
    with pytest.raises(CliError, match="--until"):
        read_moment("--until", "tomorrow")


def test_words_for_enums() -> None:
    assert read_enum("--plan", accounts_pb2.Plan, "PLAN_", "Growth") == accounts_pb2.PLAN_GROWTH
    reason = read_enum("--reason", reasons_pb2.ReasonCode, "REASON_CODE_", "window-expired")
    assert reason == reasons_pb2.REASON_CODE_WINDOW_EXPIRED
    for word in ("unspecified", "nonsense", ""):
        with pytest.raises(CliError, match="starter"):
            read_enum("--plan", accounts_pb2.Plan, "PLAN_", word)


def test_what_people_read() -> None:
    assert words(Timestamp()) == ""
    assert words(Timestamp(seconds=1_773_500_400)) == "2026-03-14 15:00:00Z"
    assert words(Duration(seconds=900)) == "0:15:00"
    assert words([True, "a", 1]) == "yes, a, 1"
    assert words(None) == ""
    assert enum_word(accounts_pb2.Account(plan=accounts_pb2.PLAN_SCALE), "plan") == "scale"
    pause = controls_pb2.Pause(scope=controls_pb2.PAUSE_SCOPE_PERSON)
    assert enum_word(pause, "scope") == "person"
    assert enum_word(accounts_pb2.Account(plan=77), "plan") == "77"  # type: ignore[arg-type]


def test_json_has_the_contracts_names_and_every_plain_field() -> None:
    plain = to_plain(instances_pb2.Instance(instance_id="ins_1"))
    assert plain["instance_id"] == "ins_1"
    assert plain["state"] == "INSTANCE_STATE_UNSPECIFIED"
    assert plain["base_url"] == ""
    assert "messages_per_second" not in plain
