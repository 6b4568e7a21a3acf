"""The processes that make a load: this one alone, or Locust's workers as the master sees them.

A worker sends its state (`ready` users, `refusals`, and its document once its window is open): by Locust's own report
every three seconds, and by a message of ours when something waits for it. States are whole, never differences, so one that
comes late or twice does no harm. `load_run` marks the test they belong to.
"""

import secrets
import time
from typing import Any

import gevent
from locust import events
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from . import merge
from .dispatch import ApartDispatcher
from .recorder import NEVER, RECORDER

STATE, OPEN, CLOSE = "laurel_state", "laurel_open", "laurel_close"
HURRIED_SECONDS = 0.25
FINAL_TIMEOUT_SECONDS = 5

_states: dict[str, dict[str, Any]] = {}
"""On a master: the last state of each worker."""


class Lost(Exception):
    """A worker went away or did not answer; the text says so."""


def is_master(environment: Environment) -> bool:
    return isinstance(environment.runner, MasterRunner)


def is_settled(documents: list[dict[str, Any]], outstanding: int) -> bool:
    """Whether every answer and every delivery of the window is in."""
    if outstanding > 0:
        return False
    counters = merge.merge(documents)["counters"] if documents else {}
    return counters.get("deliveries", 0) >= counters.get("deliveries_expected", 0)


class ThisProcess:
    """One process: users and window are here."""

    def __init__(self) -> None:
        self.final: list[dict[str, Any]] = []

    def reset(self, options: Any) -> None:
        options.load_run = secrets.token_hex(4)
        RECORDER.reset()

    def ready(self) -> tuple[int, list[str]]:
        return RECORDER.ready_users, RECORDER.refusals

    def open(self) -> None:
        RECORDER.open()

    def close(self) -> None:
        RECORDER.close()

    def documents(self) -> list[dict[str, Any]]:
        return self.final or ([RECORDER.as_dict()] if RECORDER.opened_at != NEVER else [])

    def freeze(self) -> None:
        """Keep the documents as they are now: what follows is the end of the users."""
        self.final = self.documents()

    def is_drained(self) -> bool:
        return is_settled(self.documents(), RECORDER.outstanding)

    def returning(self) -> int:
        """Sockets that were cut in the window and are not back."""
        return RECORDER.returning


class AllProcesses:
    """A master's workers. What it holds of them is at most three seconds old, or a quarter when it waits for them."""

    def __init__(self, runner: MasterRunner) -> None:
        self.runner = runner
        self.run = ""
        self.workers: set[str] = set()
        self.final: list[dict[str, Any]] = []

    def reset(self, options: Any) -> None:
        self.run = options.load_run = secrets.token_hex(4)
        _states.clear()

    def _present(self) -> list[dict[str, Any]]:
        return [state for state in _states.values() if state["run"] == self.run]

    def ready(self) -> tuple[int, list[str]]:
        states = self._present()
        return sum(s["ready"] for s in states), [text for s in states for text in s["refusals"]]

    def open(self) -> None:
        self.workers = {worker for worker, state in _states.items() if state["run"] == self.run and state["ready"]}
        self.runner.send_message(OPEN, {"run": self.run})

    def close(self) -> None:
        self.runner.send_message(CLOSE, {"run": self.run})

    def is_drained(self) -> bool:
        states = self._present()
        if not self.workers <= self._closed():
            return False
        return is_settled(self.documents(), sum(s["outstanding"] for s in states))

    def returning(self) -> int:
        return sum(state["returning"] for state in self._present())

    def documents(self) -> list[dict[str, Any]]:
        return self.final or [s["document"] for s in self._present() if s["document"]]

    def freeze(self) -> None:
        """Keep the documents of the closed windows, once they are there. Raises Lost."""
        deadline = time.monotonic() + FINAL_TIMEOUT_SECONDS
        while (gone := self.workers - self._closed()) and time.monotonic() < deadline:
            gevent.sleep(0.05)
        if gone:
            raise Lost(f"{len(gone)} of {len(self.workers)} Locust workers gave no result: {', '.join(sorted(gone))}")
        self.final = self.documents()

    def _closed(self) -> set[str]:
        return {worker for worker, state in _states.items() if state["run"] == self.run and state["closed"]}


def state_of(environment: Environment) -> dict[str, Any]:
    """What a worker tells its master."""
    opened = RECORDER.opened_at != NEVER
    return {
        "run": getattr(environment.parsed_options, "load_run", ""),
        "ready": RECORDER.ready_users,
        "refusals": RECORDER.refusals[:5],
        "outstanding": RECORDER.outstanding,
        "returning": RECORDER.returning,
        "closed": RECORDER.closed_at != NEVER,
        "document": RECORDER.as_dict() if opened else None,
    }


@events.init.add_listener
def take_part(environment: Environment, **_: Any) -> None:
    environment.dispatcher_class = ApartDispatcher
    runner = environment.runner
    if isinstance(runner, MasterRunner):
        runner.register_message(STATE, lambda environment, msg, **_: _states.__setitem__(msg.node_id, msg.data))
    elif isinstance(runner, WorkerRunner):
        runner.register_message(OPEN, lambda environment, msg, **_: RECORDER.open())
        runner.register_message(CLOSE, lambda environment, msg, **_: RECORDER.close())


@events.test_start.add_listener
def begin_to_tell(environment: Environment, **_: Any) -> None:
    if isinstance(environment.runner, WorkerRunner):
        RECORDER.reset()
        gevent.spawn(tell, environment, environment.parsed_options.load_run)


def tell(environment: Environment, run: str) -> None:
    """Tell the master while it waits: until the window opens, and once it has closed."""
    while environment.parsed_options.load_run == run and environment.runner.state not in ("stopped", "cleanup"):
        if RECORDER.opened_at == NEVER or RECORDER.closed_at != NEVER:
            environment.runner.send_message(STATE, state_of(environment))
        gevent.sleep(HURRIED_SECONDS)


@events.test_stopping.add_listener
def close_before_the_users_end(environment: Environment, **_: Any) -> None:
    """A window without an end of its own ends here, while its sockets are still open."""
    if RECORDER.opened_at != NEVER and RECORDER.closed_at == NEVER:
        RECORDER.close()


@events.test_stop.add_listener
def tell_the_last(environment: Environment, **_: Any) -> None:
    if isinstance(environment.runner, WorkerRunner):
        environment.runner.send_message(STATE, state_of(environment))


@events.report_to_master.add_listener
def report(client_id: str, data: dict[str, Any], **_: Any) -> None:
    if _environment:
        data["laurel"] = state_of(_environment[0])


@events.worker_report.add_listener
def take_report(client_id: str, data: dict[str, Any], **_: Any) -> None:
    if "laurel" in data:
        _states[client_id] = data["laurel"]


_environment: list[Environment] = []


@events.init.add_listener
def remember(environment: Environment, **_: Any) -> None:
    _environment[:] = [environment]
