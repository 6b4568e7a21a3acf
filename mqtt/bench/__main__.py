"""Run the measurements and print them; the exit code is 1 where a bound is missed."""

import argparse
import json
import os
import re
from pathlib import Path

from . import measure

ROOT = Path(__file__).resolve().parents[2]
BOUNDS = {"consumer": 3000, "stored": 1000}  # messages a second


def main():
    known = dict(re.findall(r"^(\w+): +([\w.:/-]+)", (ROOT / "ansible/group_vars/all/application.yml").read_text(), re.MULTILINE))
    parser = argparse.ArgumentParser("bench", description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--messages", type=int, default=20_000, help="for the two rates")
    parser.add_argument("--restart-messages", type=int, default=10_000, help="for the restarts")
    parser.add_argument("--only", choices=["consumer", "stored", "restart"], help="one of the three")
    options = parser.parse_args()
    os.sched_setaffinity(0, {measure.OTHER_CPU})
    application = (ROOT / known["application_source"], known["application_asgi_module"])
    good = True
    if options.only in (None, "consumer"):
        good &= show(measure.consumer(options.messages), BOUNDS["consumer"])
    if options.only in (None, "stored"):
        good &= show(measure.stored(options.messages, *application), BOUNDS["stored"])
    if options.only in (None, "restart"):
        for keys in (True, False):
            for signal_name in ("SIGTERM", "SIGKILL"):
                good &= show(measure.restart(options.restart_messages, *application, keys=keys, signal_name=signal_name))
    return 0 if good else 1


def show(result, bound=None):
    print(json.dumps(result), flush=True)
    if bound:
        return result["per_second"] >= bound
    return result["lost"] == result["twice"] == 0


if __name__ == "__main__":
    raise SystemExit(main())
