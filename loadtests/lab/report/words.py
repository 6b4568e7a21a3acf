"""Sentences and rows that the report computes from the data."""

from typing import Any


def verdict(scenario: str, part: dict[str, Any], baseline: str) -> list[str]:
    """What the scenario says, one sentence per topology, without a number that was not measured."""
    unit = part["unit"]
    base = part["topologies"].get(baseline, {})
    if not base.get("valid"):
        return [f"{scenario}: the baseline {baseline} has no valid trial, so nothing can be compared."]
    cost = base["cpu_us_total"]["median"]
    sentences = [f"A {unit} costs {cost:,.0f} µs of server CPU on {baseline}."]
    for name, ratio in part["ratios"].items():
        sentences.append(compared(name, ratio, part["topologies"][name]))
    if part["noise_floor"] is not None:
        sentences.append(f"{baseline} measured twice differed by {part['noise_floor']:.1%}.")
    return sentences


def compared(name: str, ratio: dict[str, Any], facts: dict[str, Any]) -> str:
    if not facts["valid"]:
        return f"{name} has no valid trial."
    by_polling = " (by polling)" if facts["transport"] == "polling" else ""
    times = f"{ratio['ratio']:.2f} times as much" if ratio["ratio"] else "an unknown multiple"
    if ratio["low"] is None:
        return f"{name}{by_polling} cost {times}; too few rounds for an interval."
    interval = f"95 % interval {ratio['low']:.2f}–{ratio['high']:.2f}"
    if ratio["verdict"] == "within noise":
        return f"{name}{by_polling} is the same within the noise: {times}, {interval}."
    return f"{name}{by_polling} costs {times}, {interval}."


def services_by_cost(part: dict[str, Any]) -> list[str]:
    """The services of a scenario, the dearest first."""
    highest: dict[str, float] = {}
    for facts in part["topologies"].values():
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
