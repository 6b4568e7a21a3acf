"""Adds up the documents of several load processes (see `recorder`), without loss: histograms are added bucket by bucket."""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

from . import histograms
from .recorder import FORMAT


def merge(documents: list[dict[str, Any]], arguments: dict[str, Any] | None = None) -> dict[str, Any]:
    """One document out of those of all processes; `deliveries_expected` follows from who read and what was published.

    Raises ValueError when there is none, or when one has another format.
    """
    if not documents:
        raise ValueError("there is no document to merge, expected one per load process")
    for document in documents:
        if document["format"] != FORMAT:
            raise ValueError(f"a load process wrote format {document['format']}, expected {FORMAT}; deploy the same load code everywhere")
    counters: Counter[str] = Counter()
    for document in documents:
        counters.update(document["counters"])  # adds
    rooms = merged_rooms(documents)
    if rooms:
        counters["deliveries_expected"] = sum(room["members"] * room["published"] for room in rooms.values())
    names = sorted({name for document in documents for name in document["series"]})
    return {
        "format": FORMAT,
        "window": {
            "seconds": max(d["window"]["seconds"] for d in documents),
            "opened_unix": min(d["window"]["opened_unix"] for d in documents),
        },
        "series": {name: merged_series([d["series"][name] for d in documents if name in d["series"]]) for name in names},
        "counters": dict(counters),
        "lateness": histograms.encode(histograms.merge([d["lateness"] for d in documents])),
        "generator": merged_generator([d["generator"] for d in documents]),
        "sockets": {name: sum(d["sockets"][name] for d in documents) for name in ("expected", "opened", "open")},
        "in_flight": merged_in_flight([d["in_flight"] for d in documents]),
        "rooms": rooms,
        "arguments": arguments or {},
    }


def merged_series(series: list[dict[str, Any]]) -> dict[str, Any]:
    errors: Counter[str] = Counter()
    for one in series:
        errors.update(one["errors"])
    return {
        "kind": series[0]["kind"],
        **{name: sum(one[name] for one in series) for name in ("count", "failed", "bytes")},
        "errors": dict(errors.most_common(20)),
        **{name: histograms.encode(histograms.merge([one[name] for one in series])) for name in ("latency", "service")},
    }


def merged_in_flight(means: list[dict[str, float]]) -> dict[str, float]:
    """Averages over the same window add up."""
    names = sorted({name for mean in means for name in mean})
    return {name: sum(mean.get(name, 0.0) for mean in means) for name in names}


def merged_rooms(documents: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    rooms: dict[str, dict[str, int]] = {}
    for document in documents:
        for name, room in document["rooms"].items():
            whole = rooms.setdefault(name, {"members": 0, "published": 0})
            whole["members"] += room["members"]
            whole["published"] += room["published"]
    return dict(sorted(rooms.items()))


def merged_generator(processes: list[dict[str, Any]]) -> dict[str, Any]:
    """Of several processes the fullest counts: one that is at its limit spoils the whole."""
    shares: Counter[str] = Counter()
    for process in processes:
        shares[process["host"]] += process["cpu_share"] / process["cpus"]
    return {
        "cpu_seconds": sum(p["cpu_seconds"] for p in processes),
        "cpu_share": max([*shares.values(), *(p["cpu_share"] for p in processes)]),
        "users": sum(p["users"] for p in processes),
        "processes": len(processes),
        "hosts": sorted(shares),
        "cpus": min(p["cpus"] for p in processes),
        "open_files": max(p["open_files"] for p in processes),
        "open_files_limit": min(p["open_files_limit"] for p in processes),
        "ports": max(p["ports"] for p in processes),
        "ports_limit": min(p["ports_limit"] for p in processes),
    }


def write(path: str, document: dict[str, Any]) -> None:
    """Write a document whole or not at all. Raises OSError when the folder can't be written."""
    target = Path(path)
    unfinished = target.with_name(target.name + ".part")
    unfinished.write_text(json.dumps(document), encoding="utf-8")
    os.replace(unfinished, target)
