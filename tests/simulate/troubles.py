"""Owns what goes wrong in a history by itself: processes die, and what they rely on is away for a while."""

import asyncio

from policycore.inbound import InboundEvent, InstanceStateChange
from simulate.configuration import INSTANCES
from simulate.redis_twin import Health
from simulate.world import World


async def change_instance(world: World) -> None:
    """An instance loses its connection for a while."""
    instance_id = world.random.choice(INSTANCES)
    for number, state in enumerate(("close", "open")):
        event = InboundEvent(f"state-{world.clock.seconds()}-{number}", InstanceStateChange(state))
        world.report(instance_id, (event,))
        await asyncio.sleep(world.random.random() * 15)


async def kill_core(world: World) -> None:
    """A policy core is killed; another one is started in its place."""
    replica = world.any_replica()
    if replica is not None:
        replica.process.kill()


async def kill_sender(world: World) -> None:
    """A sender is killed and started again."""
    sender = world.random.choice(world.senders)
    if sender.alive:
        sender.kill()
        await asyncio.sleep(world.random.random() ** 2 * 10)
        sender.start_again()


async def lose_database(world: World) -> None:
    """The database is away for some seconds."""
    if world.store.away_since is None:
        world.store.away_since = world.clock.seconds()
        await asyncio.sleep(world.random.random() ** 2 * 20)
        world.store.away_since = None


async def lose_counters(world: World) -> None:
    """Redis is emptied, or ill for some seconds, and may have lost everything when it is back."""
    random = world.random
    if world.redis.health is Health.WELL and random.random() < 0.7:
        world.redis.health = random.choice((Health.GONE, Health.HANGS, Health.SLOW, Health.READ_ONLY))
        await asyncio.sleep(random.random() ** 2 * 20)
        world.redis.health = Health.WELL
    if random.random() < 0.6:
        world.redis.flush()


async def lose_endpoint(world: World) -> None:
    """3CX, or a customer's system, is away for some seconds."""
    if world.endpoints is None:
        return
    kind = world.random.choice(("json", "customer_webhook"))
    world.endpoints.down.add(kind)
    await asyncio.sleep(world.random.random() ** 2 * 40)
    world.endpoints.down.discard(kind)
