"""Every cure is tested twice: the launcher must pass, and Daphne as it comes must fail (a strict xfail)."""

import pytest

from daphne_process import MODULES, Daphne

import sys  # isort:skip

sys.path.insert(0, str(MODULES["laurel_daphne"]))


def pytest_generate_tests(metafunc):
    """A test marked `cure("what Daphne does")` runs on both; any other on the launcher alone."""
    fixture = next((name for name in ("start", "shared") if name in metafunc.fixturenames), None)
    if fixture:
        cure = metafunc.definition.get_closest_marker("cure")
        stock = [pytest.param("daphne", marks=pytest.mark.xfail(strict=True, reason=cure.args[0]))] if cure else []
        metafunc.parametrize(fixture, ["laurel_daphne", *stock], indirect=True)


def pytest_configure(config):
    config.addinivalue_line("markers", "cure(reason): fails on Daphne as it comes, for this reason")


@pytest.fixture
def start(request, tmp_path):
    """Starts servers: `start("-t", "5", ours=["--drain-limit", "1"])`; ends them with the test."""
    started = []

    def start(*flags, wait=True, **options):
        server = Daphne(request.param, tmp_path, *flags, **options)
        started.append(server)
        return server.wait_until_it_listens() if wait else server

    yield start
    for server in started:
        server.end()


@pytest.fixture(scope="session")
def running(tmp_path_factory):
    servers = {}
    yield servers
    for server in servers.values():
        server.end()


@pytest.fixture
def shared(request, running, tmp_path_factory):
    """A server without special flags that tests share, where neither signals nor logs matter."""
    if request.param not in running or running[request.param].process.poll() is not None:
        folder = tmp_path_factory.mktemp(request.param)
        running[request.param] = Daphne(request.param, folder, "--websocket-max-message-size", "1000")
    return running[request.param].wait_until_it_listens()
