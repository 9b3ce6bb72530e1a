"""The table of public codes against the published contract, row by row."""

import pytest

from edge import public_codes
from edge.words import ReasonCode, Verdict

CONTRACT = [
    ("MODULE_NOT_ENABLED", "module_not_enabled", 403),
    ("UNSUPPORTED_EVENT_TYPE", "unsupported_event_type", 422),
    ("OUTBOUND_DISABLED", "outbound_disabled", 403),
    ("CALL_EVENTS_DISABLED", "call_events_disabled", 403),
    ("MISSING_PHONE", "missing_phone", 422),
    ("INVALID_PHONE", "invalid_phone", 422),
    ("MISSING_MESSAGE_TEXT", "missing_message_text", 422),
    ("MESSAGE_TOO_LONG", "message_too_long", 422),
    ("ATTACHMENTS_NOT_SUPPORTED", "attachments_not_supported", 422),
    ("PURPOSE_NOT_ALLOWED", "message_purpose_not_allowed", 422),
    ("PURPOSE_MISSING", "message_purpose_not_allowed", 422),
    ("RECIPIENT_SUPPRESSED", "recipient_suppressed", 403),
    ("WINDOW_NEVER_OPENED", "conversation_window_closed", 409),
    ("WINDOW_EXPIRED", "conversation_window_closed", 409),
    ("PLATFORM_PAUSED", "sending_paused", 403),
    ("ACCOUNT_PAUSED", "sending_paused", 403),
    ("INSTANCE_PAUSED", "sending_paused", 403),
    ("INTEGRATION_PAUSED", "sending_paused", 403),
    ("PERSON_PAUSED", "sending_paused", 403),
    ("CONTENT_MARKETING", "policy_violation", 403),
    ("COOL_DOWN_ACTIVE", "sending_throttled", 429),
    ("DAILY_QUOTA_SPENT", "quota_exceeded", 429),
    ("MONTHLY_QUOTA_SPENT", "quota_exceeded", 429),
    ("INSTANCE_NOT_CONNECTED", "instance_not_connected", 503),
    ("INSTANCE_UNKNOWN", "instance_not_connected", 503),
    ("INSTANCE_NOT_FOR_TEST_KEY", "instance_not_connected", 503),
    ("INSTANCE_RATE_LIMITED", "sending_throttled", 429),
    ("PAIR_RATE_LIMITED", "sending_throttled", 429),
    ("FACTS_UNREADABLE", "service_unavailable", 503),
    ("CLOCK_UNTRUSTED", "service_unavailable", 503),
    ("WEBHOOK_RATE_LIMITED", "webhook_rate_limited", 429),
    ("SIGNATURE_REPLAYED", "invalid_3cx_webhook", 401),
    ("IDEMPOTENCY_KEY_REUSED", "idempotency_key_reused", 409),
    ("OVERLOADED", "service_unavailable", 503),
]


@pytest.mark.parametrize(("reason", "code", "http_status"), CONTRACT)
def test_every_reason_has_its_public_code(reason: str, code: str, http_status: int) -> None:
    public = public_codes.for_reason(ReasonCode[reason], Verdict.DENY)
    assert (public.code, public.http_status) == (code, http_status)
    assert public.sentence.endswith(".")


def test_the_table_is_complete() -> None:
    assert {ReasonCode[name] for name, _, _ in CONTRACT} == set(public_codes.BY_REASON)
    assert set(public_codes.BY_REASON) == set(ReasonCode) - {ReasonCode.ALLOWED}


@pytest.mark.parametrize(
    ("reason", "code", "http_status"),
    [
        ("INSTANCE_UNKNOWN", "invalid_instance", 404),
        ("INSTANCE_NOT_FOR_TEST_KEY", "invalid_instance", 404),
        ("PURPOSE_MISSING", "message_purpose_required", 422),
        ("PURPOSE_NOT_ALLOWED", "message_purpose_not_allowed", 422),
    ],
)
def test_the_send_api_names_some_reasons_otherwise(reason: str, code: str, http_status: int) -> None:
    public = public_codes.for_reason(ReasonCode[reason], Verdict.DENY, send_api=True)
    assert (public.code, public.http_status) == (code, http_status)


@pytest.mark.parametrize(
    ("verdict", "code", "http_status"),
    [(2, "policy_violation", 403), (3, "service_unavailable", 503), (9, "service_unavailable", 503)],
)
def test_an_unknown_reason_falls_back_to_its_verdict(verdict: int, code: str, http_status: int) -> None:
    public = public_codes.for_reason(4_711, verdict)
    assert (public.code, public.http_status) == (code, http_status)


def test_one_code_has_one_status() -> None:
    for codes in (public_codes.THREECX_CODES, public_codes.SEND_API_CODES):
        statuses: dict[str, set[int]] = {}
        for public in codes:
            statuses.setdefault(public.code, set()).add(public.http_status)
        assert {code: seen for code, seen in statuses.items() if len(seen) > 1} == {}
