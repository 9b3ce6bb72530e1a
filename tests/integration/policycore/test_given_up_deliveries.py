"""Administrators are told of deliveries that were given up, for a day or until somebody deals with them."""

from datetime import timedelta

from sqlalchemy import update

from policycore.store.log_queries import SqlDeliveryReplays
from policycore.store.tables import outbox
from policycore.system_watch import CoreWatch
from support.core_parts import CoreParts


async def shown(core: CoreParts) -> tuple[bool, str]:
    watch = CoreWatch(core.database, core.counters, [], core.config.current, core.clock)
    [part] = [each for each in (await watch.look()).components if each.name == "deliveries"]
    return part.healthy, part.explanation


async def test_what_was_given_up_is_a_problem_until_somebody_deals_with_it(core: CoreParts) -> None:
    for number in range(3):
        await core.inbound(f"Question {number}.")
    assert (await shown(core))[0]
    one, two, three = sorted(row.id for row in await core.rows(outbox))
    for delivery, state in ((one, "failed"), (two, "blocked"), (three, "sent")):
        given_up = update(outbox).where(outbox.c.id == delivery).values(state=state, settled_at=core.clock())
        await core.change(given_up)
    healthy, words = await shown(core)
    assert not healthy
    assert words.startswith("2 were given up")
    replays = SqlDeliveryReplays(core.database)
    assert await replays.replay(one, "admin", days=30) is not None
    assert (await shown(core))[1].startswith("1 were given up")
    assert await replays.discard(two, "admin", "not wanted") is not None
    assert (await shown(core))[0]


async def test_what_was_given_up_long_ago_is_no_news(core: CoreParts) -> None:
    await core.inbound("A question.")
    old = core.clock() - timedelta(hours=25)
    await core.change(update(outbox).values(state="failed", settled_at=old))
    assert (await shown(core))[0]
