"""Which of two signing secrets signs an event."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from policycore.dispatch.addresses import resolve_posting
from policycore.ports import OutboxRow
from policycore.registry.snapshot import NextSigningSecret

START = datetime(2026, 3, 14, tzinfo=UTC)


def _secret_at(moment: datetime, *, webhook: bool) -> str:
    following = NextSigningSecret("new", START + timedelta(hours=1))
    destination: Any = SimpleNamespace(
        webhook_id="whk_1",
        enabled=True,
        destination_kind="threecx_json",
        destination_url="https://pbx.example.com",
        url="https://crm.example.com",
        signing_secret="old",
        next_signing=following,
    )
    snapshot: Any = SimpleNamespace(integrations={"int_1": destination}, webhooks={"acc_1": (destination,)})
    integration_id, webhook_id = (None, "whk_1") if webhook else ("int_1", None)
    row = OutboxRow(
        1, "dlv_1", "acc_1", integration_id, webhook_id, "psn_1", "message.received", "{}", 0, START, START
    )
    posting = resolve_posting(lambda: snapshot, lambda: moment)(row)
    assert posting is not None
    return posting.signing_secret


def test_the_old_one_signs_until_the_new_one_does() -> None:
    for webhook in (False, True):
        assert _secret_at(START, webhook=webhook) == "old"
        assert _secret_at(START + timedelta(minutes=59, seconds=59), webhook=webhook) == "old"
        assert _secret_at(START + timedelta(hours=1), webhook=webhook) == "new"
