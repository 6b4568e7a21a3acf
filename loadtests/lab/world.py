"""What can be measured: the topologies and the rig's targets, as their YAML files say."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import LabError
from .reading import read_yaml

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "ansible/group_vars/all"


@dataclass(frozen=True)
class Topology:
    name: str
    http: str
    websocket: str

    @property
    def has_websocket(self) -> bool:
        return self.websocket != "none"

    @property
    def servers(self) -> frozenset[str]:
        return frozenset({self.http, self.websocket} - {"none"})


@dataclass(frozen=True)
class Target:
    """A server of the rig: deployed beside the others, for a bench only."""

    name: str
    server: str
    path: str
    body: str
    url: str
    http: str
    """Which HTTP the load speaks to it; empty where that is not asked."""
    units: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class World:
    domain: str
    topologies: dict[str, Topology]
    targets: dict[str, Target]
    sizes: dict[str, Any] = field(default_factory=dict)

    @property
    def servers(self) -> set[str]:
        return {s for t in self.topologies.values() for s in t.servers}


def load_world(data: Path = DATA) -> World:
    """Read topologies.yml, sizes.yml and, where there is one, rig.yml."""
    rig = data / "rig.yml"
    return make_world(
        read_yaml(data / "topologies.yml"),
        read_yaml(rig) if rig.is_file() else {},
        (read_yaml(data / "sizes.yml") or {}).get("sizes", {}),
    )


def make_world(topology_data: Any, rig_data: Any = None, sizes: dict[str, Any] | None = None) -> World:
    """Raises LabError when the data has another shape."""
    try:
        topologies = {n: Topology(n, t["http"], t["websocket"]) for n, t in topology_data["topologies"].items()}
    except (TypeError, KeyError, AttributeError) as error:
        raise LabError(
            f"topologies.yml: expected `topologies: {{name: {{http: server, websocket: server or none}}}}`, {error!r}"
        ) from error
    try:
        targets = {n: read_target(n, t) for n, t in ((rig_data or {}).get("rig_targets") or {}).items()}
    except (TypeError, KeyError, AttributeError) as error:
        raise LabError(f"rig.yml: expected `rig_targets: {{name: {{server: …, path: …, body: …}}}}`, {error!r}") from error
    return World(topology_data.get("side_by_side_domain", ""), topologies, targets, sizes or {})


def read_target(name: str, data: dict[str, Any]) -> Target:
    return Target(
        name=name,
        server=data["server"],
        path=data.get("path") or "/",
        body=str(data.get("body") or ""),
        url=data.get("url") or "",
        http=str(data.get("http") or ""),
        units=tuple(data.get("units", [f"rig-{name}.service"])),
        why=data.get("why") or "",
    )
