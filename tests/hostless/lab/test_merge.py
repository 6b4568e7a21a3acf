"""Documents of several processes add up without loss; the generator's own use is seen."""

import json
import random
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from loadtests.users import merge, watch
from loadtests.users.histograms import merge as merge_histograms
from loadtests.users.histograms import percentiles_ms
from loadtests.users.recorder import Recorder

ROOT = Path(__file__).resolve().parents[3]


def recorder(delays, room="a", members=0, published=0):
    now = [100.0]
    seen = Recorder(clock=lambda: now[0])
    seen.open()
    for delay in delays:
        seen.sending(100.0)
        seen.answered("GET", "json", 100.0, 100.0, 100.0 + delay, size=10)
    seen.members[room], seen.published[room] = members, published
    seen.counters["deliveries"] = 3
    now[0] = 102.0
    seen.close()
    return seen


def test_percentiles_of_the_whole_are_those_of_one_process_that_saw_all():
    rng = random.Random(1)
    delays = [rng.expovariate(20) for _ in range(3000)]
    parts = merge.merge([recorder(delays[at::3]).as_dict() for at in range(3)])
    alone = recorder(delays).as_dict()
    of_parts, of_one = (percentiles_ms(merge_histograms([d["series"]["json"]["latency"]])) for d in (parts, alone))
    assert of_parts == of_one
    assert parts["series"]["json"]["count"] == 3000 and parts["series"]["json"]["bytes"] == 30_000


def test_who_reads_here_and_who_publishes_there_gives_what_must_arrive():
    reads, writes = recorder([], "a", members=7, published=1), recorder([], "a", members=1, published=4)
    whole = merge.merge([reads.as_dict(), writes.as_dict(), recorder([], "b", members=5).as_dict()])
    assert whole["counters"]["deliveries_expected"] == (7 + 1) * (1 + 4)
    assert whole["counters"]["deliveries"] == 9


def test_the_busiest_process_or_the_whole_machine_is_the_generators_share():
    documents = [recorder([]).as_dict() for _ in range(3)]
    for document, share in zip(documents, (0.6, 0.5, 0.5), strict=True):
        document["generator"] |= {"cpu_share": share, "cpus": 2, "host": "load"}
    assert merge.merge(documents)["generator"]["cpu_share"] == pytest.approx(0.8)
    documents[1]["generator"]["host"] = "load2"
    assert merge.merge(documents)["generator"]["cpu_share"] == pytest.approx(0.6)


def test_a_document_of_another_format_is_refused():
    with pytest.raises(ValueError, match="format 1, expected 2"):
        merge.merge([recorder([]).as_dict() | {"format": 1}])


def test_ports_and_open_files_are_counted():
    before = watch.look()
    with socket.create_server(("127.0.0.9", 0), backlog=512) as server:
        clients = [socket.create_connection(server.getsockname(), source_address=("127.0.0.8", 0)) for _ in range(400)]
        after = watch.look()
        for client in clients:
            client.close()
    assert after["open_files"] - before["open_files"] == 401
    assert after["ports"] >= 400
    assert after["ports"] <= after["ports_limit"]


PLACE = """
import json, sys
from loadtests.users.dispatch import ApartDispatcher

class Worker:
    def __init__(self, name):
        self.id = name

class Crowd:
    weight, fixed_count, apart = 1, 1, True

class Probe:
    weight, fixed_count = 1, 0

first, users, then = map(int, sys.argv[1:])
dispatcher = ApartDispatcher([Worker(f"host_{n}") for n in range(first)], [Crowd, Probe])
dispatcher.new_dispatch(users, 1000.0)
placed = [list(dispatcher)[-1]]
for n in range(first, then):
    dispatcher.add_worker(Worker(f"host_{n}"))
    dispatcher.new_dispatch(users, 1000.0)
    placed.append(list(dispatcher)[-1])
print(json.dumps([sorted((p["Crowd"], p["Probe"]) for p in of_workers.values()) for of_workers in placed]))
"""


def placed(workers, users, then=0):
    """(crowds, probes) of each worker; again for each worker that joins until there are `then`. Locust patches its process."""
    command = [sys.executable, "-c", PLACE, str(workers), str(users), str(then)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)


def test_the_crowd_shares_its_worker_with_nobody_also_when_one_joins():
    assert placed(2, 9, then=4) == [
        [[0, 8], [1, 0]],
        [[0, 4], [0, 4], [1, 0]],
        [[0, 2], [0, 3], [0, 3], [1, 0]],
    ]


def test_one_worker_takes_all():
    assert placed(1, 3) == [[[1, 2]]]
