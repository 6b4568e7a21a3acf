"""Locust's web UI, and a bench that is as short as one can be."""

import json
import re

import httpx
import pytest
import yaml

from helpers import until

TOPOLOGIES = {"wsgi", "asgi", "mixed"}
SERVERS = {"wsgi": {"uwsgi"}, "asgi": {"daphne"}, "mixed": {"uwsgi"}}


def test_locust_opens_its_web_ui_with_the_target_filled_in(deployed):
    done = deployed.make("locust")
    assert done.code == 0, done.err
    url = f"http://localhost:{deployed.addresses['vars']['cluster_locust_port']}/"
    assert url in done.out

    def page():
        try:
            return httpx.get(url, trust_env=False, timeout=5).text
        except httpx.HTTPError:
            return ""

    assert f"https://edge:{deployed.port}" in until(page)
    assert deployed.make("locust-stop").code == 0
    assert page() == ""


@pytest.fixture(scope="module")
def bench(deployed, tmp_path_factory):
    """One short round; the verb, and the folder of its own result."""

    def results():
        return {path.resolve() for path in deployed.root.glob("results/*/result.json")}

    before = results()
    plan = yaml.safe_load((deployed.root / "loadtests/lab/plans/bench.yml").read_text())
    plan["scenarios"]["pages"]["trial"] = {"warm_up": 1.0, "measure": 3.0, "settle": 0.2}
    path = tmp_path_factory.mktemp("plan") / "short.yml"
    path.write_text(yaml.safe_dump(plan))
    done = deployed.make("bench", BENCH=f"--plan {path} --rounds 1 --scenario pages")
    latest = deployed.root / "results/latest"
    assert results() - before == {latest.resolve() / "result.json"}, done.out + done.err
    return done, latest


def test_a_bench_ends_with_a_table(bench):
    done, _ = bench
    # Two cores that others use too may make a trial invalid; that is said, and is no failure of the bench.
    assert "Traceback" not in done.out + done.err
    assert all(name in done.out for name in TOPOLOGIES), done.out + done.err


def test_a_result_has_the_cpu_time_of_a_request_by_service(bench):
    _, folder = bench
    result = json.loads((folder / "result.json").read_text())
    rows = {row["candidate"]: row for row in result["trials"] if row["measured"]}
    assert set(rows) == TOPOLOGIES
    for name, row in rows.items():
        assert row["cpu_us"]["nginx"] > 0
        assert row["cpu_us"]["postgresql"] > 0
        busiest = max(("uwsgi", "daphne"), key=lambda server: row["cpu_us"].get(server, 0))
        assert {busiest} == SERVERS[name]


def test_a_result_has_a_report_that_stands_alone(bench):
    report = (bench[1] / "report.html").read_text()
    assert all(name in report for name in TOPOLOGIES)
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)[^"']*["']|@import|url\((?!["']?(?:data:|#))""", report)
