"""Typed values out of YAML files; every mistake is one line: where, what was seen, what was expected."""

from pathlib import Path
from typing import Any

import yaml

from .errors import LabError


class Reader:
    """Takes typed values out of a mapping and says where something is wrong."""

    def __init__(self, data: Any, where: str) -> None:
        if not isinstance(data, dict):
            raise LabError(f"{where}: found {data!r}, expected a mapping")
        self.data, self.where, self.used = data, where, set()

    def get(self, key: str, kind: Any, default: Any = None) -> Any:
        self.used.add(key)
        value = self.data.get(key, default)
        if value is None:
            raise LabError(f"{self.where}: {key} is missing")
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            kinds = kind if isinstance(kind, tuple) else (kind,)
            raise LabError(f"{self.where}: {key} is {value!r}, expected {' or '.join(k.__name__ for k in kinds)}")
        return value

    def number(self, key: str, *, above: float, most: float = float("inf"), default: float | None = None) -> float:
        value = self.get(key, (int, float), default)
        if not above < value <= most:
            limit = f" and at most {most:g}" if most < float("inf") else ""
            raise LabError(f"{self.where}: {key} is {value}, expected a number above {above:g}{limit}")
        return float(value)

    def choice(self, key: str, known: Any, default: str | None = None) -> str:
        value = self.get(key, str, default)
        if value not in known:
            raise LabError(f"{self.where}: {key} is {value!r}, expected one of {', '.join(known)}")
        return value

    def part(self, key: str, default: Any = None) -> "Reader":
        return Reader(self.get(key, dict, default), f"{self.where}: {key}")

    def refuse_unknown(self) -> None:
        unknown = sorted(set(self.data) - self.used)
        if unknown:
            raise LabError(f"{self.where}: {unknown[0]!r} is no key here; known: {', '.join(sorted(self.used))}")


def read_yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LabError(f"{path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise LabError(f"{path}{line}: not YAML: {getattr(error, 'problem', error)}") from error
