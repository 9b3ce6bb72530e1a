"""The harness itself: a wrong answer is seen, and an error fails its row whatever the row measured."""

import hashlib
import hmac
import itertools
import json

import pytest

from bench import report
from bench.load import Answer, Result, Run, _check_arrivals, _ids_answered
from bench.requests import Door, replies
from bench.rows import DRIVES, ROWS, Measured, Round, Target

GOOD = {"success": True, "status": "sent", "external_message_id": "A1"}


def answers(status: int, body: object) -> Run:
    run = Run({}, iter(()))
    run.answers.append(Answer("ref x-1-0", 0.01, True, status, json.dumps(body).encode()))
    return run


def test_a_good_answer_gives_the_instances_id() -> None:
    result = Result()
    assert _ids_answered(answers(200, GOOD), result) == {"ref x-1-0": "A1"}
    assert result.errors == 0


@pytest.mark.parametrize(
    ("status", "change"),
    [
        (202, {"status": "pending"}),
        (200, {"status": "pending"}),
        (200, {"success": False}),
        (200, {"external_message_id": ""}),
        (503, {}),
    ],
)
def test_any_other_answer_is_an_error(status: int, change: dict[str, object]) -> None:
    result = Result()
    assert _ids_answered(answers(status, GOOD | change), result) == {}
    assert result.errors == 1


@pytest.mark.parametrize("missing", ["success", "status", "external_message_id"])
def test_an_answer_that_leaves_something_out_is_an_error(missing: str) -> None:
    result = Result()
    body = {name: value for name, value in GOOD.items() if name != missing}
    assert _ids_answered(answers(200, body), result) == {}
    assert result.errors == 1


def test_a_connection_that_was_lost_is_an_error() -> None:
    run = Run({}, iter(()))
    run.lost.append("ref x-1-0")
    result = Result()
    _ids_answered(run, result)
    assert result.errors == 1


@pytest.mark.parametrize(
    ("ids", "arrived", "errors"),
    [
        ({"a": "1"}, {"a": ["1"]}, 0),
        ({"a": "1"}, {}, 1),
        ({"a": "1"}, {"a": ["1", "2"]}, 1),
        ({"a": "1"}, {"a": ["2"]}, 1),
        ({}, {"a": ["1"]}, 1),
        ({"a": "1", "b": "1"}, {"a": ["1"], "b": ["1"]}, 1),
    ],
)
def test_every_message_arrives_once_under_the_id_of_its_answer(
    ids: dict[str, str], arrived: dict[str, list[str]], errors: int
) -> None:
    result = Result()
    _check_arrivals(ids, arrived, result)
    assert result.errors == errors


def test_requests_are_signed_over_timestamp_and_body_and_no_text_repeats() -> None:
    doors = [Door("/d/1", "s1", ("+966500000001", "+966500000002")), Door("/d/2", "s2", ("+966500000003",))]
    made = list(itertools.islice(replies(doors, "x-1", "localhost:1"), 12))
    assert len({request.token for request in made}) == 12
    for number, request in enumerate(made):
        head, _, body = request.raw.partition(b"\r\n\r\n")
        lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        secret = doors[number % 2].secret
        signed = f"{lines['X-WhatsApp-Gateway-Timestamp']}.".encode() + body
        expected = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
        assert lines["X-WhatsApp-Gateway-Signature"] == f"sha256={expected}"
        assert request.token in json.loads(body)["message_text"]
        assert int(lines["Content-Length"]) == len(body)


def rounds(accepted: int, errors: int = 0) -> list[Round]:
    result = Result(accepted=accepted, seconds=1.0, p50_ms=1.0, p99_ms=2.0, errors=errors)
    return [{drive.name: Measured(result, {}) for drive in DRIVES}]


def test_a_row_meets_its_target_by_its_median() -> None:
    met = {line.row.name: line.met for line in report.lines(rounds(2_000))}
    assert met["production_replies"] is True
    assert met["production_p99"] is True
    missed = {line.row.name: line.met for line in report.lines(rounds(1_999))}
    assert missed["production_replies"] is False
    assert missed["production_p50"] is None


def test_one_error_fails_every_row_that_rests_on_the_drive() -> None:
    found = report.lines(rounds(9_000, errors=1))
    assert [line.row.name for line in found] == [row.name for row in ROWS]
    assert not any(line.met for line in found)


def test_targets_say_which_way_they_count() -> None:
    assert str(Target(2_000)) == "≥ 2,000"
    assert str(Target(60, at_least=False)) == "≤ 60"
    assert not Target(60, at_least=False).met(60.1)
