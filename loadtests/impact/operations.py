"""operations.yml, read and checked: what is done, and what is promised meanwhile."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtests.lab.errors import LabError
from loadtests.lab.reading import read_yaml

FILE = Path(__file__).parent / "operations.yml"
NEEDS = {"", "docker", "sentinels"}
STEPS = {"make", "playbook", "run", "script", "container", "release", "clients", "wait"}
KEYS = {"what", "promise", "before", "do", "undo", "needs", "settle"}
RULES = {"failed", "failing_seconds", "statuses", "page_seconds", "closed", "closed_least", "back_seconds", "late"}
RULES |= {"clients_back_seconds", "clients_closed_seconds"}
CLIENTS_DO = ("cut", "stop-reading", "go")  # besides coming in


@dataclass(frozen=True)
class Operation:
    name: str
    what: str
    promise: dict[str, Any]
    before: tuple[dict[str, Any], ...]
    do: tuple[dict[str, Any], ...]
    undo: tuple[dict[str, Any], ...]
    needs: str
    settle: float  # seconds of quiet that end its window

    @property
    def promised(self) -> str:
        """The promise in words."""
        said = [
            f"{self.promise.get('failed', 0)} failed requests"
            if not self.promise.get("failed")
            else f"at most {self.promise['failed']} failed"
        ]
        if "statuses" in self.promise:
            said.append(f"with {', '.join(map(str, self.promise['statuses']))} only")
        if "failing_seconds" in self.promise:
            said.append(f"within {self.promise['failing_seconds']} s")
        said.append("0 lost")
        if "closed" in self.promise:
            codes = ", ".join(map(str, self.promise["closed"]))
            said.append(f"sockets closed with {codes} only" if codes else "no socket closed")
        if "back_seconds" in self.promise:
            said.append(f"back within {self.promise['back_seconds']} s")
        if "late" in self.promise:
            said.append(f"{self.promise['late']} late")
        if "clients_back_seconds" in self.promise:
            said.append(f"all who were cut back within {self.promise['clients_back_seconds']} s")
        if "clients_closed_seconds" in self.promise:
            said.append(f"who does not read is closed within {self.promise['clients_closed_seconds']} s")
        return ", ".join(said)


def read(path: Path = FILE) -> dict[str, Operation]:
    """Raises LabError with what is wrong in the file."""
    data = read_yaml(path)
    promises = data["promises"]
    for name, promise in promises.items():
        if foreign := set(promise) - RULES:
            raise LabError(f"{path.name}: the promise {name} has {', '.join(sorted(foreign))}; expected some of {', '.join(sorted(RULES))}")
    return {name: operation(name, body, promises) for name, body in data["operations"].items()}


def operation(name: str, body: dict[str, Any], promises: dict[str, Any]) -> Operation:
    if foreign := set(body) - KEYS:
        raise LabError(f"the operation {name} has {', '.join(sorted(foreign))}; expected some of {', '.join(sorted(KEYS))}")
    if body.get("promise") not in promises:
        raise LabError(f"the operation {name} promises {body.get('promise')!r}; expected one of {', '.join(promises)}")
    if body.get("needs", "") not in NEEDS:
        raise LabError(f"the operation {name} needs {body['needs']!r}; expected one of {', '.join(sorted(NEEDS - {''}))}")
    for step in [*body.get("before", []), *body["do"], *body.get("undo", [])]:
        if len(STEPS & set(step)) != 1:
            raise LabError(f"the operation {name} has the step {step}; expected one of {', '.join(sorted(STEPS))}")
        if isinstance(deed := step.get("clients"), str) and deed not in CLIENTS_DO:
            raise LabError(f"the operation {name} lets clients {deed}; expected one of {', '.join(CLIENTS_DO)}, or how many come in")
    return Operation(
        name,
        body["what"],
        promises[body["promise"]],
        tuple(body.get("before", [])),
        tuple(body["do"]),
        tuple(body.get("undo", [])),
        body.get("needs", ""),
        body.get("settle", 3.0),
    )


def choose(known: dict[str, Operation], only: str) -> list[Operation]:
    """Those that ONLY= names, in the order of the file; all where it is empty. Raises LabError."""
    names = only.replace(",", " ").split()
    for name in names:
        if name not in known:
            raise LabError(f"ONLY names {name!r}; there are: {', '.join(known)}")
    return [operation for operation in known.values() if not names or operation.name in names]
