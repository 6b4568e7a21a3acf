"""Sentences and rows that the report computes from the data. Nothing here is said that was not measured."""

from typing import Any

from ..declaration import FIGURES, UNITS
from ..speed import in_short
from ..table import capacity_words, value_of

SHORT = {"cpu_us": "CPU", "p50": "median latency", "p95": "p95", "p99": "p99", "max": "time until the last one", "memory_kib": "memory"}


def verdict(result: dict[str, Any]) -> list[str]:
    """Three sentences: which topology is cheapest, what the other scenarios found, and how far to trust it."""
    return [cheapest(result), findings(result), trust(result)]


def cheapest(result: dict[str, Any]) -> str:
    """Which topology a request costs least on, from `pages`, or from the first scenario where that was not run."""
    name = "pages" if "pages" in result["summary"] else next(iter(result["summary"]))
    part = result["summary"][name]
    base = part["candidates"][part["baseline"]]
    if not base["valid"]:
        return f"No winner can be named: the baseline {part['baseline']} of {name} has no valid trial."
    figure = part["figures"]["cpu_us"]
    told = [f"{n} {times(r)}" for n, r in figure["ratios"].items() if r["verdict"] in ("less", "more") and r["against"] == part["baseline"]]
    same = [n for n, r in figure["ratios"].items() if r["verdict"] == "within noise" and r["against"] == part["baseline"]]
    sentence = f"In {name}, a {part['unit']} costs {base['cpu_us_total']['median']:,.0f} µs of server CPU on {part['baseline']}"
    if told:
        sentence += "; " + ", ".join(told)
    if same:
        sentence += f"; {listed(same)} {'differs' if len(same) == 1 else 'differ'} by no more than the noise"
    if not told and not same:
        sentence += "; too few valid rounds to compare the others"
    return sentence + "."


def times(ratio: dict[str, Any]) -> str:
    return f"{ratio['ratio']:.2f} times that ({ratio['low']:.2f}–{ratio['high']:.2f})"


def findings(result: dict[str, Any]) -> str:
    """How many differences the other scenarios found, the largest of them by name."""
    found = []
    for name, part in result["summary"].items():
        figure = part["figure"]
        for candidate, ratio in part["figures"][figure]["ratios"].items():
            if ratio["verdict"] in ("less", "more") and not (name == "pages" and figure == "cpu_us"):
                found.append((max(ratio["ratio"], 1 / ratio["ratio"]), name, candidate, ratio, figure))
    if not found:
        return "No other difference was found that is larger than the noise."
    _, name, candidate, ratio, figure = max(found, key=lambda f: f[0])
    return (
        f"The largest of {len(found)} other difference{'s' if len(found) > 1 else ''} beyond the noise is in {name}: "
        f"{candidate} has {ratio['ratio']:.2f} times the {SHORT[figure]} of {ratio['against']} ({ratio['low']:.2f}–{ratio['high']:.2f})."
    )


def trust(result: dict[str, Any]) -> str:
    """Noise floor, precision and what was refused."""
    parts = result["summary"].values()
    floors = [p["figures"]["cpu_us"]["noise_floor"] for p in parts if p["figures"]["cpu_us"]["noise_floor"] is not None]
    widths = [w for p in parts for w in p["figures"]["cpu_us"]["half_width"].values() if w is not None]
    bad = sum(not t["valid"] for t in result["trials"])
    sentence = f"{bad} of {len(result['trials'])} trials were INVALID" if bad else f"All {len(result['trials'])} trials passed the gate"
    if again := len(result["discarded"]):
        sentence += f", {again} more {'was' if again == 1 else 'were'} refused and taken again"
    if floors:
        sentence += f"; the noise floor of CPU (a baseline measured twice) is {max(floors):.1%} at most"
    if widths:
        sentence += f", and intervals reach {max(widths):.1%} to either side at most"
    return sentence + "."


def by_reason(trials: list[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """`(reasons, trials)` of those that are not valid; trials that failed alike stand together."""
    found: dict[str, list[str]] = {}
    for trial in trials:
        if not trial["valid"]:
            found.setdefault("; ".join(trial["reasons"]), []).append(trial["id"])
    return list(found.items())


def listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def answer(name: str, part: dict[str, Any], result: dict[str, Any]) -> list[str]:
    """What a scenario says to its question, in sentences."""
    base, figure = part["candidates"][part["baseline"]], part["figure"]
    if not base["valid"]:
        return [f"The baseline {part['baseline']} has no valid trial ({base['why']}), so nothing can be compared."]
    value = value_of(base, figure)
    sentences = [] if value is None else [f"{part['baseline']}: {value:,.0f} {FIGURES[figure].format(unit=part['unit'])}."]
    for candidate, ratio in part["figures"][figure]["ratios"].items():
        sentences.append(compared(candidate, ratio, part["candidates"][candidate], figure))
    sentences += special(part)
    if part["unit"] == "delivery" and (told := delivered(name, part, result)):
        sentences.append(told)
    if told := in_short(part["speed"]):
        sentences.append(f"{told}.")
    for candidate, found in result.get("capacity", {}).get(name, {}).items():
        vary = result["plan"]["scenarios"][name]["capacity"]["vary"]
        reached = "" if found["throughput"] is None else f", {found['throughput']:,.0f} {UNITS[part['unit']]}/s came through"
        sentences.append(f"Capacity of {candidate}, by {vary}: {capacity_words(found)}{reached}.")
        if found["usl"] and found["usl"]["peak"]:
            law = found["usl"]
            sentences.append(
                f"The Universal Scalability Law puts its peak at {law['peak']:,.0f}/s with {law['peak_concurrency']:,.0f} in flight "
                f"(contention {law['contention']:.3f}, coherency {law['coherency']:.5f}, R² {law['r2']:.2f})."
            )
    return sentences


def compared(name: str, ratio: dict[str, Any], facts: dict[str, Any], figure: str) -> str:
    if not facts["valid"]:
        return f"{name}: INVALID ({facts['why']})."
    if not ratio["ratio"]:
        return f"{name} can't be compared to {ratio['against']}, which has no valid trial in the same round."
    head = f"{name} has {ratio['ratio']:.2f} times the {SHORT[figure]} of {ratio['against']}"
    if ratio["low"] is None:
        return f"{head}; too few valid rounds for an interval."
    interval = f"95 % interval {ratio['low']:.2f}–{ratio['high']:.2f}"
    if ratio["verdict"] == "within noise":
        return f"{head} ({interval}): ≈ within the noise floor."
    return f"{head} ({interval})."


def special(part: dict[str, Any]) -> list[str]:
    """Sentences of units that have a question of their own."""
    found = []
    for name, facts in part["candidates"].items():
        if not facts["valid"]:
            continue
        if part["unit"] == "return":
            late = facts["latency_ms"]
            found.append(
                f"{name}: half of the sockets are back after {late['p50']['median'] / 1e3:.2f} s, 95 % after "
                f"{late['p95']['median'] / 1e3:.2f} s, all after {late['max']['median'] / 1e3:.2f} s."
            )
        if part["unit"] == "socket" and facts["memory_kib_per_unit"]:
            each = facts["memory_kib_per_unit"]["median"]
            kernel = facts["kernel_memory_kib_per_unit"]["median"]
            found.append(f"{name}: {each:,.1f} KiB a socket, {kernel:,.1f} of it the kernel's; a GiB holds {2**20 / each:,.0f}.")
    return found


def delivered(name: str, part: dict[str, Any], result: dict[str, Any]) -> str:
    """Each candidate's delivery ratio over all its trials: without those that the gate refused, what was lost would be hidden."""
    told = []
    for candidate in part["candidates"]:
        mine = [t for t in result["trials"] + result["discarded"] if (t["scenario"], t["candidate"]) == (name, candidate)]
        rows = [t.get("counters", {}) for t in mine]
        due = sum(counters.get("deliveries_expected", 0) for counters in rows)
        if due:
            came = sum(counters.get("deliveries", 0) for counters in rows)
            told.append(f"{candidate} {came:,} of {due:,} ({came / due:.2%})")
    return f"Delivered of what was due, recovery from the database included: {', '.join(told)}." if told else ""


def isolation_index(part: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Each candidate with a storm, and the ratio of its p99 to the same without."""
    return [(n, r) for n, r in part["figures"]["p99"]["ratios"].items() if n.endswith("-storm") and r["ratio"]]


def overview(result: dict[str, Any]) -> tuple[list[str], list[dict[str, Any]]]:
    """Topologies x scenarios: the scenarios, and per topology a cell each of its own figure, or None."""
    scenarios = list(result["summary"])
    rows = []
    for topology in result["topologies"]:
        cells = [cell(result["summary"][s], topology, result["plan"]["scenarios"][s]) for s in scenarios]
        if any(cells):
            rows.append({"topology": topology, "cells": cells})
    return scenarios, rows


def cell(part: dict[str, Any], topology: str, declaration: dict[str, Any]) -> dict[str, Any] | None:
    """The first candidate that is this topology: its value, its ratio, its verdict."""
    given = declaration["compare"].get("candidates") or {}
    name = next((n for n in part["candidates"] if n == topology or given.get(n, {}).get("topology") == topology), None)
    if name is None:
        return None
    facts, figure = part["candidates"][name], part["figure"]
    ratio = part["figures"][figure]["ratios"].get(name)
    return {"name": name, "valid": facts["valid"], "value": value_of(facts, figure), "figure": SHORT[figure], "ratio": ratio}


def services_by_cost(part: dict[str, Any]) -> list[str]:
    """The services of a scenario, the dearest first."""
    highest: dict[str, float] = {}
    for facts in part["candidates"].values():
        for service, value in facts.get("cpu_us", {}).items():
            highest[service] = max(highest.get(service, 0.0), value["median"])
    return sorted((s for s, v in highest.items() if v >= 0.5), key=lambda s: -highest[s])


def provenance_rows(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Name and value of each fact about where the result comes from."""
    facts = result.get("provenance")
    if not facts:
        return [("seed", str(result["seed"]))]
    sizes, pinning = facts["sizes"], facts["pinning"]
    rows = [
        ("release", str(facts["release"])),
        ("git commit", facts["git_commit"] + (" with changes" if facts["git_changed"] else "")),
        ("seed", str(result["seed"])),
        ("method version", str(result["method"])),
        ("machine", f"{facts['machine']['cpus']} × {facts['machine']['cpu']}, kernel {facts['machine']['kernel']}"),
        ("hosts", f"{', '.join(facts['hosts'])} ({facts['provider']})"),
        ("CPUs", pinned(pinning)),
        (
            "worker processes",
            f"{sizes.get('uwsgi_processes')} uWSGI, {sizes.get('daphne_instances')} Daphne per app host",
        ),
        (
            "load code",
            facts["load_code_sha256"][:16] + ("" if facts["load_code_is_this_checkout"] else " (not this checkout)"),
        ),
    ]
    if facts.get("packages"):
        rows.append(("Python packages", ", ".join(facts["packages"])))
    rows += [(f"versions on {host}", text) for host, text in facts["versions"].items()]
    return rows + [(f"configuration of {host}", f"sha256 {digest[:16]}…") for host, digest in facts["config_sha256"].items()]


def pinned(pinning: dict[str, Any]) -> str:
    if pinning["pinned"]:
        return f"servers on {pinning['servers']}, load on {pinning['generator']}"
    return f"not set apart: {pinning['reason']}"
