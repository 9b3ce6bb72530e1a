"""Which secrets of an instance count after one of them was replaced."""

from datetime import UTC, datetime

from policycore.registry.instance_secrets import Former, InstanceSecrets, pack, rotated, unpack

UNTIL = datetime(2026, 3, 15, tzinfo=UTC)
BEFORE = InstanceSecrets("token", "hook", "")


def test_what_is_replaced_counts_on_and_nothing_else_does() -> None:
    found = rotated(BEFORE, InstanceSecrets("token-2", "hook", "verify"), UNTIL)
    assert found.former == Former("token", "", "", UNTIL)
    assert (found.api_token, found.webhook_secret, found.verify_token) == ("token-2", "hook", "verify")


def test_without_an_overlap_nothing_of_before_counts() -> None:
    first = rotated(BEFORE, InstanceSecrets("token-2", "hook", ""), UNTIL)
    assert rotated(first, InstanceSecrets("token-3", "hook", ""), None).former is None


def test_another_change_keeps_what_still_counts() -> None:
    first = rotated(BEFORE, InstanceSecrets("token-2", "hook", ""), UNTIL)
    assert rotated(first, InstanceSecrets("token-2", "hook", "verify"), None).former == first.former


def test_what_is_packed_is_unpacked_and_older_forms_are_read() -> None:
    both = rotated(BEFORE, InstanceSecrets("token-2", "hook-2", ""), UNTIL)
    assert unpack(pack(both)) == both
    assert unpack('{"api_token":"t","webhook_secret":"w","verify_token":"v"}') == InstanceSecrets(
        "t", "w", "v"
    )
    assert unpack('{"api_token":"t","later":"x"}') == InstanceSecrets("t")
