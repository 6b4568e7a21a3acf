"""`python -m loadtests.feedcheck`: what `make feed-check` runs. Exit code 0: the promise held; 1: it did not; 2: not tried."""

import os
import sys
from typing import Any

from loadtests.lab.errors import LabError
from loadtests.lab.hosts import Hosts

from .run import RATE, Check

BOUNDS = {"ROOM_EVENTS": (2000, 30, 20_000), "SUBSCRIBERS": (200, 1, 1000)}  # default, least, most
FAULTS = ("lost", "duplicated", "disordered", "altered")
NAMES = {
    "refresh": "meta refresh", "poll": "polling", "longpoll": "long polling", "frame": "streamed iframe",
    "events": "Server-Sent Events", "websocket": "WebSocket", "mqtt": "MQTT",
}  # fmt: skip
HEAD = ("transport", "readers", "received", "lost", "duplicated", "out of order", "reconnects", "p50 ms", "p99 ms")


def number(name: str) -> int:
    default, least, most = BOUNDS[name]
    text = os.environ.get(name) or str(default)
    if not (text.isascii() and text.isdigit()) or not least <= int(text) <= most:
        raise LabError(f"{name} is {text!r}; expected a number from {least} to {most}, as in: make feed-check {name}={default}")
    return int(text)


def line(name: str, row: dict[str, Any]) -> tuple[str, ...]:
    counts = (row["subscribers"], row["received"], row["lost"], row["duplicated"], row["disordered"], row["reconnects"])
    delays = ("-" if row[key] is None else f"{row[key] * 1000:,.0f}" for key in ("p50", "p99"))
    return (NAMES[name], *(f"{count:,}" for count in counts), *delays)


def table(rows: dict[str, dict[str, Any]]) -> str:
    lines = [HEAD, *(line(name, row) for name, row in rows.items())]
    widths = [max(len(cells[column]) for cells in lines) for column in range(len(HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(w) if not i else cell.rjust(w) for i, (cell, w) in enumerate(zip(cells, widths, strict=True)))
        for cells in lines
    )


def faults(result: dict[str, Any]) -> list[str]:
    """Everything that broke the promise, in words; nothing if it held."""
    found = list(result["faults"])
    for name, row in result["rows"].items():
        found += [f"{NAMES[name]}: {row[fault]:,} {fault}" for fault in FAULTS if row[fault]]
        found += [f"{NAMES[name]}: a subscriber gave up: {why}" for why in row["given_up"]]
    return found


def main() -> int:
    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    try:
        events, subscribers = number("ROOM_EVENTS"), number("SUBSCRIBERS")
        check = Check(Hosts(os.environ.get("ENVIRONMENT") or "local"), events, subscribers, say)
        say(
            f"{events} messages at {RATE:.0f}/s from two hosts to {subscribers} subscribers on {len(check.transports)} transports "
            f"(topology {check.topology_name}), about {check.seconds + 30:.0f} s"
        )
        result = check.run()
    except LabError as error:
        print(f"laurel: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nlaurel: interrupted; the programs on the hosts have been ended", file=sys.stderr)
        return 130
    print("\n" + table(result["rows"]) + "\n")
    print(f"Sent again by the publishers: {result['retries']} without an answer, {result['repeats']} to see that a key stores once.")
    for name, row in result["rows"].items():
        for why, count in row["ends"].items():
            say(f"  {NAMES[name]}: {count} × {why}")
    broken = faults(result)
    for fault in broken:
        print(f"BROKEN  {fault}")
    print("Each message came once and in order." if not broken else f"{len(broken)} faults.")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
