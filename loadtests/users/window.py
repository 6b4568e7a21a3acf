"""The life of a measured run: users ready → warm-up → window → drain → result file → quit.

Without `--measure` the window opens as soon as the users are ready and lasts until the test stops, which is what
the web UI wants. Each step prints one line that starts with `@load` on standard output; the lab reads CPU
counters on the hosts the moment it sees `opened` and `closed`.
"""

import json
import sys
import time
from typing import Any

import gevent
from gevent.pool import Group
from locust import events
from locust.env import Environment
from locust.runners import MasterRunner

from . import arguments
from .recorder import RECORDER

READY_TIMEOUT_SECONDS = 60
DRAIN_TIMEOUT_SECONDS = 5


_running = Group()
"""The greenlet of the present test; one left over from the test before is ended."""


def say(step: str, **facts: Any) -> None:
    print("@load " + json.dumps({"step": step, **facts}), flush=True)


@events.test_start.add_listener
def start_window(environment: Environment, **_: Any) -> None:
    if isinstance(environment.runner, MasterRunner):
        return  # the workers hold the users
    RECORDER.reset()
    _running.kill(block=False)
    greenlet = _running.spawn(run_window, environment)
    greenlet.link_exception(lambda failed: give_up(environment, f"the measured window failed: {failed.exception}"))


def run_window(environment: Environment) -> None:
    options = environment.parsed_options
    try:
        wait_for_users(environment)
    except NotAllReady as error:
        return give_up(environment, str(error))
    say("ready", users=RECORDER.ready_users)
    gevent.sleep(options.warm_up)
    RECORDER.open()
    say("opened")
    if not options.measure:
        return
    gevent.sleep(options.measure)
    RECORDER.close()
    say("closed")
    drain()
    end(environment)


class NotAllReady(Exception):
    """Some users could not start; the text says why."""


def wait_for_users(environment: Environment) -> None:
    """Return once each user has finished its `on_start`. Raises NotAllReady when one can't or it takes too long."""
    deadline = time.monotonic() + READY_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        if RECORDER.refusals and environment.parsed_options.measure:
            raise NotAllReady(RECORDER.refusals[0])
        if environment.runner.state == "running" and RECORDER.ready_users >= environment.runner.target_user_count:
            return
        gevent.sleep(0.05)
    wanted = environment.runner.target_user_count
    raise NotAllReady(f"{RECORDER.ready_users} of {wanted} users were ready after {READY_TIMEOUT_SECONDS} s")


def drain() -> None:
    """Wait until the answers to what was sent in the window are in, at most `DRAIN_TIMEOUT_SECONDS`."""
    deadline = time.monotonic() + DRAIN_TIMEOUT_SECONDS
    while RECORDER.outstanding > 0 and time.monotonic() < deadline:
        gevent.sleep(0.02)


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


@events.test_stop.add_listener
def write_result(environment: Environment, **_: Any) -> None:
    options = environment.parsed_options
    if isinstance(environment.runner, MasterRunner) or not options.result_file:
        return
    chosen = {name: getattr(options, name) for name in (*arguments.NAMES, "host")}
    try:
        RECORDER.write(options.result_file, chosen)
    except OSError as error:
        give_up(environment, f"--result-file {options.result_file}: {error.strerror}; give a path that can be written")
