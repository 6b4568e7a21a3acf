"""What the web UI is told of the hosts' CPU, and that what it says against a run is what the lab's gate says."""

import yaml

from loadtests.lab import live
from loadtests.lab.world import ROOT
from loadtests.users import limits


def sample(at, **usage):
    return {"at": at, "usage_usec": {f"{name}.service": value for name, value in usage.items()}}


def test_cpus_in_use_by_service_and_host_the_busiest_first():
    before = {"app1": sample(10.0, uwsgi=1_000_000, idle=5), "edge": sample(20.0, nginx=0)}
    after = {"app1": sample(12.0, uwsgi=2_000_000, idle=6), "edge": sample(22.0, nginx=1_500_000)}
    assert live.rows(before, after) == [
        {"service": "nginx", "host": "edge", "cpu": 0.75},
        {"service": "uwsgi", "host": "app1", "cpu": 0.5},
    ]


def test_the_web_ui_and_the_gate_have_the_same_limits():
    gate = yaml.safe_load((ROOT / "loadtests/lab/gate.yml").read_text())
    assert gate["max_generator_cpu"] == limits.MAX_CPU_SHARE
    assert gate["max_late_share"] == limits.MAX_LATE_SHARE
