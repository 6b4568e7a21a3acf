"""What a message costs the crowd: CPU time per received message, against a small server of our own on loopback.

    python tests/hostless/lab/crowd_cost.py [--members 8000] [--messages 40] [--rate 1]

The server is a process of its own that does no more than answer handshakes and write the same frame to everybody. Prints
one line of JSON: members that were open, messages received, CPU µs per message, KB of memory per socket.
"""

from gevent import monkey

monkey.patch_all()  # as Locust does, so that the crowd must find the real epoll

import argparse  # noqa: E402
import json  # noqa: E402
import resource  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402

import gevent  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from loadtests.users.crowd import PORTS_AN_ADDRESS, Crowd  # noqa: E402
from loadtests.users.member import Member  # noqa: E402
from loadtests.users.recorder import RECORDER  # noqa: E402


def memory_kb() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 1024


def measure(members: int, messages: int, rate: float) -> dict[str, float]:
    """Raises RuntimeError when the sockets do not open or messages are missing."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    if members > limit - 100:
        raise RuntimeError(f"{members} members need as many open files, the limit is {limit}; lower --members")
    command = [sys.executable, str(Path(__file__).with_name("broadcaster.py")), "--after", str(members)]
    server = subprocess.Popen([*command, "--messages", str(messages), "--rate", str(rate)], stdout=subprocess.PIPE, text=True)
    try:
        port = int(server.stdout.readline())
        before = memory_kb()
        addresses = [f"127.0.0.{n + 2}" for n in range(-(-members // PORTS_AN_ADDRESS))]
        crowd = Crowd(f"http://127.0.0.1:{port}", [Member("a", "", 0) for _ in range(members)], addresses=addresses)
        running = gevent.spawn(crowd.run)
        deadline = time.monotonic() + 60
        while crowd.open < members and time.monotonic() < deadline:
            gevent.sleep(0.01)
        if crowd.open < members:
            raise RuntimeError(f"{crowd.open} of {members} sockets are open: {dict(crowd.problems)}")
        memory, opened = memory_kb() - before, crowd.open
        # The messages of the moments before this line count neither as messages nor as CPU time.
        RECORDER.open()
        received, cpu = crowd.messages, time.process_time()
        deadline = time.monotonic() + 30 + messages / rate
        while crowd.messages < members * messages and time.monotonic() < deadline:
            gevent.sleep(0.05)
        cpu, received = time.process_time() - cpu, crowd.messages - received
        if crowd.messages != members * messages or RECORDER.counters["lost"] or RECORDER.counters["duplicates"]:
            raise RuntimeError(f"{crowd.messages} messages came, expected {members * messages}: {dict(RECORDER.counters)}")
        running.kill()
        return {"members": opened, "messages": received, "cpu_us": cpu * 1e6 / received, "kb_per_socket": memory / members}
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--members", type=int, default=8000)
    parser.add_argument("--messages", type=int, default=40)
    parser.add_argument("--rate", type=float, default=1.0, help="messages per second to each member")
    options = parser.parse_args()
    print(json.dumps(measure(options.members, options.messages, options.rate)))
