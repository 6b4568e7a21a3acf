"""Runs on each host after a trial, sent over SSH: what the logs say about a window of time.

    python3 - SINCE UNTIL        in seconds of Unix time

Not imported by the lab. Prints one JSON line: {"bad_gateways": {host name: count}, "memory": [lines about killed processes]}.
"""

import datetime
import json
import os
import subprocess
import sys

ACCESS_LOG = "/var/log/nginx/access.log"
TAIL_BYTES = 32 * 2**20
KILLED = ("oom-kill", "out of memory", "oom killer")
GATEWAY = {502, 503, 504}


def bad_gateways(since, until):
    """How many requests of each server name nginx answered with 502, 503 or 504, by the second."""
    found = {}
    if not os.path.exists(ACCESS_LOG):
        return found
    with open(ACCESS_LOG, "rb") as file:
        file.seek(max(0, os.path.getsize(ACCESS_LOG) - TAIL_BYTES))
        for line in file:
            if not any(b'"status":%d' % status in line for status in GATEWAY):
                continue
            try:
                entry = json.loads(line)
                at = datetime.datetime.fromisoformat(entry["time"]).timestamp()
            except (ValueError, KeyError):
                continue
            if entry["status"] in GATEWAY and since - 1 < at <= until + 1:
                found[entry["host"]] = found.get(entry["host"], 0) + 1
    return found


def killed(since, until):
    command = ["journalctl", "--quiet", "--output=cat", f"--since=@{since:.0f}", f"--until=@{until + 1:.0f}"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    return [line[:200] for line in done.stdout.splitlines() if any(word in line.lower() for word in KILLED)][:5]


def main():
    since, until = float(sys.argv[1]), float(sys.argv[2])
    print(json.dumps({"bad_gateways": bad_gateways(since, until), "memory": killed(since, until)}))


if __name__ == "__main__":
    main()
