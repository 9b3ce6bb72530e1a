"""When an instance is said not to acknowledge any more, and when it is well again."""

from datetime import UTC, datetime, timedelta

from policycore.acknowledgement import FEWEST, FIRST_HOLD, LONGEST_HOLD, PATIENCE, Mark, Send, judge

NOW = datetime(2026, 3, 14, 9, 0, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=3)
EVOLUTION, CLOUD = PATIENCE["evolution"], PATIENCE["cloud_api"]


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def open_send(seconds: float) -> Send:
    return Send(ago(seconds), False, ago(seconds))


def acknowledged(seconds: float, after: float = 2.0) -> Send:
    return Send(ago(seconds), True, ago(seconds - after))


ROW = [open_send(seconds) for seconds in (70, 90, 120)]
BEFORE = [acknowledged(300), acknowledged(400)]


def test_a_row_without_acknowledgement_marks_an_instance_that_acknowledged_before() -> None:
    mark = judge([*ROW, *BEFORE], None, LONG_AGO, EVOLUTION, NOW)
    assert mark == Mark(ago(120), NOW + FIRST_HOLD)


def test_what_had_no_time_yet_says_nothing() -> None:
    young = [open_send(seconds) for seconds in (5, 20, 59)]
    assert judge([*young, *BEFORE], None, LONG_AGO, EVOLUTION, NOW) is None
    assert judge([*young, *ROW, *BEFORE], None, LONG_AGO, EVOLUTION, NOW) is not None


def test_a_few_lost_acknowledgements_say_nothing() -> None:
    assert judge([*ROW[: FEWEST - 1], *BEFORE], None, LONG_AGO, EVOLUTION, NOW) is None
    mixed = [open_send(70), open_send(80), acknowledged(90), open_send(100), *BEFORE]
    assert judge(mixed, None, LONG_AGO, EVOLUTION, NOW) is None


def test_who_never_acknowledged_is_not_set_up_to_tell() -> None:
    assert judge(ROW * 100, None, LONG_AGO, EVOLUTION, NOW) is None
    assert judge([], None, LONG_AGO, EVOLUTION, NOW) is None


def test_any_receipt_since_then_shows_that_it_is_connected() -> None:
    read_just_now = acknowledged(300, after=290)
    assert judge([*ROW, read_just_now], None, LONG_AGO, EVOLUTION, NOW) is None


def test_what_was_sent_before_it_connected_again_does_not_count() -> None:
    assert judge([*ROW, *BEFORE], None, ago(100), EVOLUTION, NOW) is None


def test_an_instance_of_the_cloud_api_is_marked_late_and_never_held() -> None:
    assert judge([*ROW, *BEFORE], None, LONG_AGO, CLOUD, NOW) is None
    late = [open_send(seconds) for seconds in (700, 800, 900)]
    assert judge([*late, acknowledged(1_000)], None, LONG_AGO, CLOUD, NOW) == Mark(ago(900), None)


MARK = Mark(ago(120), ago(10))


def test_a_mark_stays_while_nothing_is_tried() -> None:
    assert judge([*ROW, *BEFORE], MARK, LONG_AGO, EVOLUTION, NOW) == MARK
    trial = Send(ago(5), False, ago(5))
    assert judge([trial, *ROW, *BEFORE], MARK, LONG_AGO, EVOLUTION, NOW) == MARK, (
        "it may still be acknowledged"
    )


def test_a_trial_that_fails_holds_it_longer_up_to_a_bound() -> None:
    later = NOW + timedelta(seconds=120)
    trial = Send(ago(5), False, ago(5))
    held = judge([trial, *ROW, *BEFORE], MARK, LONG_AGO, EVOLUTION, later)
    assert held == Mark(MARK.since, later + (later - MARK.since))
    much_later = NOW + timedelta(hours=3)
    held = judge([trial, *ROW, *BEFORE], MARK, LONG_AGO, EVOLUTION, much_later)
    assert held == Mark(MARK.since, much_later + LONGEST_HOLD)


def test_a_receipt_or_a_new_connection_ends_it() -> None:
    heard = Send(ago(90), True, ago(1))
    assert judge([ROW[0], heard, ROW[2], *BEFORE], MARK, LONG_AGO, EVOLUTION, NOW) is None
    assert judge([*ROW, *BEFORE], MARK, ago(3), EVOLUTION, NOW) is None
