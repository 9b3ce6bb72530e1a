"""Counting refusals: by kind and minute, without bound neither in memory nor in time."""

from edge.errors import CoreUnavailableError
from edge.refusals import RefusalKind, RefusalLog, RefusalReport, RefusalReporter

NOW = 1_800_000_030.0
MINUTE = 1_800_000_000


def test_refusals_of_one_kind_and_minute_are_counted_together() -> None:
    log = RefusalLog()
    for seconds in (0, 10, 29, 30):
        log.refused("threecx_webhook", "int_1", "wrong_secret", "192.0.2.1", NOW + seconds)
    report = log.take()
    assert report is not None
    first = RefusalKind(MINUTE, "threecx_webhook", "int_1", "wrong_secret", "192.0.2.1")
    second = RefusalKind(MINUTE + 60, "threecx_webhook", "int_1", "wrong_secret", "192.0.2.1")
    assert report.counts == {first: 3, second: 1}
    assert log.take() is None


def test_what_a_caller_wrote_is_cut_and_made_printable() -> None:
    log = RefusalLog()
    log.refused("threecx_webhook", "a\x00\n\ud83d" + "x" * 100, "unknown_integration", "", NOW)
    report = log.take()
    assert report is not None
    (kind,) = report.counts
    assert kind.target == "a???" + "x" * 60


def test_past_the_limit_refusals_are_counted_together() -> None:
    log = RefusalLog(kind_limit=2)
    for number in range(10):
        log.refused("threecx_webhook", f"int_{number}", "unknown_integration", f"192.0.2.{number}", NOW)
    report = log.take()
    assert report is not None
    assert len(report.counts) == 3
    assert sum(report.counts.values()) == 10
    assert report.counts[RefusalKind(MINUTE, "threecx_webhook", "", "unknown_integration", "")] == 8


def test_made_up_ids_fill_a_minute_neither_at_once_nor_bit_by_bit() -> None:
    log = RefusalLog(stranger_limit=3)
    rows: set[RefusalKind] = set()
    for number in range(50):
        log.refused("threecx_webhook", f"int_{number}", "unknown_integration", "192.0.2.1", NOW)
        report = log.take()  # as every second, so that no second's bound is ever reached
        assert report is not None
        rows |= report.counts.keys()
    assert len(rows) == 4
    log.refused("threecx_webhook", "int_50", "unknown_integration", "192.0.2.1", NOW + 60)
    report = log.take()
    assert report is not None
    assert {kind.target for kind in report.counts} == {"int_50"}


def test_made_up_ids_do_not_hide_what_happens_to_a_real_one() -> None:
    log = RefusalLog(stranger_limit=3)
    for number in range(50):
        log.refused("threecx_webhook", f"made_up_{number}", "unknown_integration", "192.0.2.1", NOW)
    log.refused("threecx_webhook", "int_1", "wrong_secret", "192.0.2.1", NOW)
    report = log.take()
    assert report is not None
    assert RefusalKind(MINUTE, "threecx_webhook", "int_1", "wrong_secret", "192.0.2.1") in report.counts


def test_uses_keep_the_latest_time_and_a_bound() -> None:
    log = RefusalLog(kind_limit=2)
    for number in range(5):
        log.used(f"sec_{number}", NOW)
    log.used("sec_0", NOW + 5)
    report = log.take()
    assert report is not None
    assert report.uses == {"sec_0": NOW + 5, "sec_1": NOW}


async def test_a_report_that_cannot_be_delivered_is_kept() -> None:
    log = RefusalLog()
    delivered: list[RefusalReport] = []
    broken = True

    async def deliver(report: RefusalReport) -> None:
        if broken:
            raise CoreUnavailableError("down")
        delivered.append(report)

    reporter = RefusalReporter(log, deliver)
    log.refused("send_api", "", "invalid_api_key", "192.0.2.1", NOW)
    log.used("key_1", NOW)
    await reporter.flush()
    log.refused("send_api", "", "invalid_api_key", "192.0.2.1", NOW)
    log.used("key_1", NOW + 9)
    broken = False
    await reporter.flush()
    await reporter.flush()
    (report,) = delivered
    assert list(report.counts.values()) == [2]
    assert report.uses == {"key_1": NOW + 9}
