"""What runs on the hosts reads cgroups of both kinds and logs of a window."""

import json
import time

from loadtests.lab import logs, sampler


def folder(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)


def test_units_are_the_services_and_their_sub_groups_are_theirs(tmp_path):
    root = folder(tmp_path, {"uwsgi.service/cpu.stat": "", "uwsgi.service/a.service/cpu.stat": "", "s.slice/daphne@1.service/cpu.stat": ""})
    assert sampler.units(root) == {"uwsgi.service": "/uwsgi.service", "daphne@1.service": "/s.slice/daphne@1.service"}


def test_memory_of_version_two_counts_sockets_as_the_kernels(tmp_path):
    stat = "anon 700\ninactive_file 100\nkernel 50\nsock 20\n"
    assert sampler.memory(folder(tmp_path, {"memory.current": "1000\n", "memory.stat": stat}), 2) == (900, 70)


def test_memory_of_version_one_adds_the_buffers_of_tcp(tmp_path):
    files = {
        "memory.usage_in_bytes": "1000\n",
        "memory.stat": "total_inactive_file 100\n",
        "memory.kmem.usage_in_bytes": "50\n",
        "memory.kmem.tcp.usage_in_bytes": "20\n",
    }
    assert sampler.memory(folder(tmp_path, files), 1) == (920, 70)


def test_a_unit_that_is_gone_has_no_memory(tmp_path):
    assert sampler.memory(str(tmp_path / "gone"), 2) is None


def test_context_switches_of_this_process_are_seen(tmp_path):
    import os

    place = folder(tmp_path, {"x.service/cgroup.procs": f"{os.getpid()}\n"})
    before = sampler.switches(place)
    time.sleep(0.01)
    assert sampler.switches(place) > before > 0


def test_the_machine_has_cpus_and_a_network():
    assert all(len(ticks) == 8 for ticks in sampler.cpus().values())
    assert set(sampler.network()) == {"received", "sent"}


def test_bad_gateways_are_counted_in_the_window_by_server_name(tmp_path, monkeypatch):
    def line(second, status, host="mixed.laurel.test"):
        return json.dumps({"time": f"2026-01-31T12:00:{second:02}+00:00", "host": host, "status": status}, separators=(",", ":"))

    lines = [line(1, 502), line(5, 200), line(6, 502), line(6, 504), line(7, 502, "asgi.laurel.test"), line(20, 502), '"status":502']
    log = tmp_path / "access.log"
    log.write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(logs, "ACCESS_LOG", str(log))
    noon = 1769860800  # 2026-01-31T12:00:00Z
    assert logs.bad_gateways(noon + 4, noon + 10) == {"mixed.laurel.test": 2, "asgi.laurel.test": 1}
