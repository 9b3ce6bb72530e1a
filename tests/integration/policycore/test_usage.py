"""Last-used marks as the edge reports them: all of a report in one go, and never backwards."""

from datetime import timedelta

from sqlalchemy import insert

from policycore.reading import RefusalCount
from policycore.store.tables import api_keys, integration_secrets, refusals
from policycore.store.usage import record_usage
from support.core_parts import CoreParts


async def test_marks_move_forward_only_and_refusals_add_up(core: CoreParts) -> None:
    now = core.clock()
    await core.change(
        insert(integration_secrets).values(id="sec_1", integration_id="int_1", sealed=b"x", created_at=now)
    )
    kind = RefusalCount(
        now.replace(second=0, microsecond=0), "threecx_webhook", "int_1", "wrong_secret", "", 2
    )
    for at in (now, now - timedelta(hours=1), now + timedelta(hours=1)):
        await record_usage(core.database, [kind, kind], [("sec_1", at), ("sec_none", at), ("key_none", at)])
        (secret,) = await core.rows(integration_secrets)
        assert secret.last_used_at == max(now, at)
    assert not await core.rows(api_keys)
    (refused,) = await core.rows(refusals)
    assert refused.count == 12
