"""Measures what a wake-up costs on each Redis channel layer, and how it survives a Redis that restarts.

    DATABASE_URL=… REDIS_URL=… python -m tests.measure_layers

A reader with 100 rooms, a publisher with one wake-up at a time, a Redis of their own; three rounds in turn.
"""

import argparse
import asyncio
import os
import statistics
import time

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
import django

django.setup()

from channels.layers import channel_layers, get_channel_layer  # noqa: E402
from django.conf import settings  # noqa: E402
from django.test import override_settings  # noqa: E402

from project import wake  # noqa: E402
from project.layers import client, layer  # noqa: E402

from . import servers  # noqa: E402

ROOMS = 100
RATE = 200  # wake-ups a second: below what either layer can do, so that costs are compared and not queues


def redis_cpu(admin):
    used = admin.info("cpu")
    return used["used_cpu_user"] + used["used_cpu_sys"]


async def send(group, newest):
    await get_channel_layer().group_send(group, {"type": "wake", "group": group, "newest": newest})


async def costs(admin, count):
    """Return the median and 99th percentile of the delay (ms), and µs of CPU per wake-up: our process, Redis."""
    hub, delays = wake.hub(), []
    groups = [f"room.{number}" for number in range(ROOMS)]
    listeners = {group: wake.Listener() for group in groups}
    for group, listener in listeners.items():
        hub.join(group, listener)
    while len(hub.joined) < ROOMS:
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.5)
    for listener in listeners.values():
        listener.event.clear()
    own, theirs, begun = time.process_time(), redis_cpu(admin), time.monotonic()
    for number in range(count):
        await asyncio.sleep(max(0, begun + number / RATE - time.monotonic()))
        group = groups[number % ROOMS]
        sent = time.perf_counter()
        await send(group, number + 1)
        await listeners[group].wait(5)
        delays.append((time.perf_counter() - sent) * 1000)
    own, theirs = time.process_time() - own, redis_cpu(admin) - theirs
    return statistics.median(delays), statistics.quantiles(delays, n=100)[98], own / count * 1e6, theirs / count * 1e6


async def restart(redis):
    """Return the seconds from a Redis restart to the next wake-up that arrives."""
    listener = wake.Listener()
    wake.hub().join("room.0", listener)
    await asyncio.sleep(1)
    await asyncio.to_thread(redis.stop)
    await asyncio.sleep(1)
    await asyncio.to_thread(redis.start)
    begun, newest = time.monotonic(), 1_000_000
    while listener.newest < 1_000_000:
        newest += 1
        try:
            async with asyncio.timeout(2):
                await send("room.0", newest)
        except Exception:
            pass  # not back yet
        await asyncio.sleep(0.1)
        if time.monotonic() - begun > 60:
            return float("inf")
    return time.monotonic() - begun


def measure(kind, count):
    redis = servers.redis()
    url = f"redis://{redis.address}/0"
    admin = client(url)
    try:
        with override_settings(CHANNEL_LAYERS={"default": layer(kind, [url], "laurel")}):
            channel_layers.backends.clear()
            found = asyncio.run(costs(admin, count))
            commands = sorted(name.removeprefix("cmdstat_") for name in admin.info("commandstats"))
            back = asyncio.run(restart(redis))
    finally:
        redis.stop()
    return found, back, [name for name in commands if name not in ("info", "command", "client|setinfo", "client|setname")]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=2000, help="wake-ups in a round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(f"{ROOMS} rooms, {RATE} wake-ups a second, {options.count} a round; settings {settings.SETTINGS_MODULE}")
    print("\n| round | layer | p50 ms | p99 ms | CPU µs, process | CPU µs, Redis | s until woken after a restart |")
    print("|---|---|---|---|---|---|---|")
    commands = {}
    for number in range(options.rounds):
        for kind in ("pubsub", "core") if number % 2 == 0 else ("core", "pubsub"):
            (p50, p99, own, theirs), back, commands[kind] = measure(kind, options.count)
            print(f"| {number + 1} | {kind} | {p50:.2f} | {p99:.2f} | {own:.0f} | {theirs:.0f} | {back:.1f} |", flush=True)
    for kind, names in commands.items():
        print(f"\n{kind} uses: {', '.join(names)}")


if __name__ == "__main__":
    main()
