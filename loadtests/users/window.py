"""The life of a measured run: users ready → warm-up → window → drain → result file → quit.

Without `--measure` the window opens as soon as the users are ready and lasts until the test stops, which is what
the web UI wants. Each step prints one line that starts with `@load` on standard output; the lab reads CPU
counters on the hosts the moment it sees `opened` and `closed`.

With Locust's master and workers it is the master that does all this; `processes` has what it asks of the workers.
"""

import json
import sys
import time
from typing import Any

import gevent
from gevent.pool import Group
from locust import events
from locust.env import Environment
from locust.runners import WorkerRunner

from . import arguments, merge
from .dispatch import crowds
from .processes import AllProcesses, Lost, ThisProcess, is_master

READY_TIMEOUT_SECONDS = 60
OPENED_A_SECOND = 10  # sockets of a crowd, at least
DRAIN_TIMEOUT_SECONDS = 5
RETURN_TIMEOUT_SECONDS = 30

_running = Group()
"""The greenlet of the present test; one left over from the test before is ended."""

_load: ThisProcess | AllProcesses = ThisProcess()
"""The processes of the present test."""


def say(step: str, **facts: Any) -> None:
    print("@load " + json.dumps({"step": step, **facts}), flush=True)


@events.init.add_listener
def add_crowds(environment: Environment, **_: Any) -> None:
    """Without a web UI `-u` is the number of users that pace; the crowds come on top."""
    options = environment.parsed_options
    if isinstance(environment.runner, WorkerRunner) or not options or not options.headless:
        return
    added = crowds(environment)
    all_are = all(getattr(u, "apart", False) for u in environment.user_classes)
    options.num_users = added if all_are and added else (options.num_users or 1) + added


@events.test_start.add_listener
def start_window(environment: Environment, **_: Any) -> None:
    global _load
    if isinstance(environment.runner, WorkerRunner):
        return  # the master leads
    _load = AllProcesses(environment.runner) if is_master(environment) else ThisProcess()
    options = environment.parsed_options
    options.users_in_all = environment.runner.target_user_count or options.num_users or 1
    _load.reset(options)
    _running.kill(block=False)
    greenlet = _running.spawn(run_window, environment)
    greenlet.link_exception(lambda failed: give_up(environment, f"the measured window failed: {failed.exception}"))


def run_window(environment: Environment) -> None:
    options = environment.parsed_options
    try:
        wait_for_users(environment)
        say("ready", users=_load.ready()[0])
        gevent.sleep(options.warm_up)
        _load.open()
        say("opened")
        if not options.measure:
            return
        gevent.sleep(options.measure)
        _load.close()
        say("closed")
        drain()
    except (NotAllReady, Lost) as error:
        return give_up(environment, str(error))
    end(environment)


class NotAllReady(Exception):
    """Some users could not start; the text says why."""


def wait_for_users(environment: Environment) -> None:
    """Return once each user has finished its `on_start`. Raises NotAllReady when one can't or it takes too long."""
    options = environment.parsed_options
    timeout = READY_TIMEOUT_SECONDS + (options.members + options.storm_members) / OPENED_A_SECOND
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        ready, refusals = _load.ready()
        if refusals and options.measure:
            raise NotAllReady(refusals[0])
        # Locust gives the target before it starts; a master's count is 0 until it has workers.
        if environment.runner.state == "running" and ready >= environment.runner.target_user_count > 0:
            return
        gevent.sleep(0.05)
    wanted = environment.runner.target_user_count
    raise NotAllReady(f"{_load.ready()[0]} of {wanted} users were ready after {timeout:.0f} s")


def drain() -> None:
    """Wait until the answers to what was sent in the window are in, and who was cut is back, each with its limit.

    Raises Lost when a worker's last document does not come.
    """
    began = time.monotonic()
    while not _load.is_drained() or _load.returning():
        waited = time.monotonic() - began
        if waited > (RETURN_TIMEOUT_SECONDS if _load.returning() else DRAIN_TIMEOUT_SECONDS):
            break
        gevent.sleep(0.05)
    _load.freeze()


def give_up(environment: Environment, reason: str) -> None:
    say("failed", reason=reason)
    sys.stderr.write(f"{reason}\n")
    environment.process_exit_code = 1
    end(environment)


def end(environment: Environment) -> None:
    """End the test; without a web UI also the process."""
    if environment.web_ui:
        environment.runner.stop()
    else:
        environment.runner.quit()


def present_document(environment: Environment) -> dict[str, Any] | None:
    """All processes of the present test as one document; None before there is one."""
    documents = _load.documents()
    options = environment.parsed_options
    chosen = {name: getattr(options, name) for name in (*arguments.NAMES, "host")}
    return merge.merge(documents, chosen) if documents else None


@events.test_stop.add_listener
def write_result(environment: Environment, **_: Any) -> None:
    if isinstance(environment.runner, WorkerRunner):
        return
    path = environment.parsed_options.result_file
    document = present_document(environment) if path else None
    if document is None:
        return
    try:
        merge.write(path, document)
    except OSError as error:
        give_up(environment, f"--result-file {path}: {error.strerror}; give a path that can be written")
