"""Faults of the world outside: networks, webhooks, instances, 3CX. Each lasts about as long as the round."""

import asyncio
from dataclasses import replace
from typing import Final

from faults import stand_ins
from faults.load import fresh_phone, upsert
from faults.proxy import Proxy, Weather
from faults.scene import Scene
from hubgate.policy.v1 import instances_pb2
from peers.peer import Script
from support.gateway import CoreClient

SLOW_SECONDS: Final = 0.4
_TLS_HELLO_BYTES = 16


def _some(scene: Scene) -> list[Proxy]:
    """A third of the pairs, chosen anew each time."""
    proxies = list(scene.world.proxies.values())
    return scene.rng.sample(proxies, max(1, len(proxies) // 3))


async def _weather(scene: Scene, weather: Weather, spell: float, between: float) -> None:
    """Bad weather between some pairs, then good, again and again."""
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + scene.seconds
    while loop.time() < ends_at:
        struck = _some(scene)
        for proxy in struck:
            proxy.weather = replace(weather)
        await asyncio.sleep(spell)
        for proxy in struck:
            proxy.clear()
        await asyncio.sleep(between)


async def cut(scene: Scene) -> None:
    """Connections end in an orderly way, some every moment."""
    for _ in range(int(scene.seconds / 0.25)):
        for proxy in _some(scene):
            proxy.cut()
        await asyncio.sleep(0.25)


async def reset(scene: Scene) -> None:
    """Connections are reset, and new ones for a moment too."""
    for _ in range(int(scene.seconds / 0.4)):
        struck = _some(scene)
        for proxy in struck:
            proxy.reset()
            proxy.weather.refusing = scene.rng.random() < 0.3
        await asyncio.sleep(0.3)
        for proxy in struck:
            proxy.clear()
        await asyncio.sleep(0.1)


async def slow(scene: Scene) -> None:
    """Every byte takes its time."""
    await _weather(scene, Weather(delay_seconds=SLOW_SECONDS), scene.seconds / 2, 0.5)


async def half_open(scene: Scene) -> None:
    """Connections are taken, and nothing passes."""
    await _weather(scene, Weather(silent=True), 2.0, 1.0)


async def mute(scene: Scene) -> None:
    """Requests arrive, answers are lost."""
    await _weather(scene, Weather(mute=True), 1.5, 1.0)


async def hundredfold(scene: Scene) -> None:
    """One webhook a hundred times in parallel."""
    for _ in range(3):
        await scene.client.write(scene.company.main, scene.rng.choice(scene.company.people), copies=100)


async def reordered(scene: Scene) -> None:
    """What somebody wrote over two days comes in the wrong order, old things again at the end."""
    client, line = scene.client, scene.company.main
    for _ in range(4):
        phone = fresh_phone()
        newest = await client.write(line, phone, "The newest", ago=1.0)
        for hours in (1, 23, 25, 48):
            older = await client.write(line, phone, f"{hours} hours before", ago=hours * 3_600.0)
            await client.deliver(line, older)
        await client.reply(line, phone, key=True, tries=3)
        await client.deliver(line, newest)


async def six_days_old(scene: Scene) -> None:
    """What a person wrote six days ago opens no window; what they wrote just now does not lose theirs."""
    client, line = scene.client, scene.company.main
    for _ in range(6):
        stale, fresh = fresh_phone(), scene.rng.choice(scene.company.people)
        await client.write(line, stale, ago=6 * 86_400.0)
        await client.write(line, fresh, ago=6 * 86_400.0)
        await client.reply(line, stale)
        await client.reply(line, fresh, key=True, tries=3)


async def broken_batch(scene: Scene) -> None:
    """Fifty elements in one webhook, one of which cannot be read: it costs only itself."""
    client, line = scene.client, scene.company.main
    for _ in range(4):
        batch = [client.note(line, fresh_phone()) for _ in range(49)]
        await client.deliver_together(line, batch, upsert(line.name, batch, broken=1))
        for written in scene.rng.sample(batch, 5):
            await client.reply(line, written.phone, key=True, tries=3)


async def receipt_first(scene: Scene) -> None:
    """The receipt of a message comes before the answer that names it."""
    scene.world.instances.tells_before_it_answers = True
    await asyncio.sleep(scene.seconds)


async def opt_out_races(scene: Scene) -> None:
    """Many people say STOP while they are being answered."""

    async def one() -> None:
        phone, line = fresh_phone(), scene.company.main
        await scene.client.write(line, phone)
        await asyncio.gather(
            scene.client.write(line, phone, "STOP"),
            *(scene.client.reply(line, phone, key=True, tries=2) for _ in range(4)),
        )
        await scene.client.reply(line, phone)

    for _ in range(int(scene.seconds)):
        await asyncio.gather(*(one() for _ in range(3)), asyncio.sleep(0.7))


async def _scripted(scene: Scene, *scripts: Script) -> None:
    """The instance answers as scripted, every now and then as usual."""
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + scene.seconds
    while loop.time() < ends_at:
        for phone in scene.rng.sample(scene.company.people, 4):
            scene.world.instances.script(phone, replace(scene.rng.choice(scripts), times=1))
        await asyncio.sleep(0.25)
    scene.world.instances.forget_scripts()


async def instance_slow(scene: Scene) -> None:
    """Answers take up to a minute."""
    longest = 60.0 if scene.whole else 6.0
    await _scripted(scene, *(Script(delay_seconds=longest * part) for part in (0.02, 0.1, 0.4, 1.0)))


async def instance_drops(scene: Scene) -> None:
    """The message is taken, and the connection closed without an answer."""
    await _scripted(scene, stand_ins.TAKEN_AND_SILENT)


async def instance_429(scene: Scene) -> None:
    """Too fast, says the instance."""
    await _scripted(scene, stand_ins.SLOW_DOWN)


async def instance_429_with_time(scene: Scene) -> None:
    """Too fast, says the instance, and when to come again."""
    await _scripted(scene, stand_ins.SLOW_DOWN_FOR_A_SECOND)


async def instance_5xx(scene: Scene) -> None:
    """The instance fails, with the message taken or not."""
    await _scripted(scene, stand_ins.TAKEN_AND_FAILED, stand_ins.NOT_TAKEN_AND_FAILED)


async def instance_half(scene: Scene) -> None:
    """Half an answer, and the connection ends."""
    for _ in range(int(scene.seconds)):
        scene.world.instances.half_answers = True
        await asyncio.sleep(0.6)
        scene.world.instances.half_answers = False
        await asyncio.sleep(0.4)


async def instance_tls_reset(scene: Scene) -> None:
    """The instance is behind TLS, and resets the connection in the midst of the handshake."""
    proxy = scene.world.outside["sender-instance"]
    line = await scene.world.open_line(f"{scene.company.main.name}-tls")
    phone = scene.company.people[0]
    await scene.client.write(line, phone)
    instance = instances_pb2.Instance(
        instance_id=line.instance_id, base_url=f"https://127.0.0.1:{proxy.port}"
    )

    async def change(core: CoreClient) -> None:
        request = instances_pb2.UpdateInstanceRequest(instance=instance, fields=["base_url"])
        await core.call(core.admin.UpdateInstance, request)

    await scene.world.administer(change)
    proxy.weather = Weather(resets_after=_TLS_HELLO_BYTES)
    for _ in range(int(scene.seconds * 2)):
        await scene.client.reply(line, phone)
        await asyncio.sleep(0.3)
    proxy.clear()


async def instance_repeats_ids(scene: Scene) -> None:
    """The instance gives two messages the same id."""
    scene.world.instances.repeats_ids = True
    await asyncio.sleep(scene.seconds)


async def instance_refuses(scene: Scene) -> None:
    """The number is not on WhatsApp, says the instance: certainly not sent."""
    await _scripted(scene, stand_ins.REFUSED)


async def threecx_fails(scene: Scene) -> None:
    """3CX answers 500, or drops what it has taken."""
    for _ in range(int(scene.seconds)):
        script = scene.rng.choice((Script(status=500), Script(drop="before_answer")))
        scene.world.threecx.script(scene.rng.choice(scene.company.people), replace(script, times=2))
        await asyncio.sleep(1.0)
