"""The verbs that change what runs while it runs: rollback, reload, restart, drain, undrain, maintenance, and what looks at them."""

import json
import os
import time
from datetime import datetime
from typing import Any

from . import inventory, playbook, release, remote
from .console import Failure, say
from .paths import BUILD
from .paths import inventory as folder_of
from .settings import Settings


def app_hosts(environment: str) -> list[str]:
    return list(inventory.hosts_by_group(folder_of(environment))["app"])


def listings(environment: str) -> dict[str, list[dict[str, Any]]]:
    """What each app host knows of its releases: {host: [{release, current, good_at?, bad_at?, why?}]}, the newest first."""
    found = {}
    for host in app_hosts(environment):
        text = remote.read(environment, host, "sudo /usr/local/sbin/relay releases")
        try:
            found[host] = json.loads(text or "")["releases"]
        except (ValueError, KeyError) as error:
            raise Failure(f"{host} says nothing about its releases; is it deployed and up? See: make status") from error
    return found


def current(known: dict[str, list[dict[str, Any]]]) -> set[str]:
    return {about["release"] for listing in known.values() for about in listing if about["current"]}


def require_built(environment: str) -> None:
    """What was built last is what serves, or Failure: else a verb that deploys on its way would change the release."""
    path = BUILD / "app.json"
    built = json.loads(path.read_text())["release"] if path.is_file() else "nothing"
    serving = current(listings(environment))
    if serving != {built}:
        raise Failure(
            f"the app hosts serve {', '.join(sorted(serving)) or 'nothing'}, and what was built last is {built}; make deploy first"
        )


def is_bad(about: dict[str, Any]) -> bool:
    return "bad_at" in about


def releases(chosen: Settings) -> None:
    """Each release, newest first, with what every host knows of it."""
    known = listings(chosen.environment)
    names = dict.fromkeys(about["release"] for listing in known.values() for about in listing)
    for name in names:
        for host, listing in known.items():
            for about in listing:
                if about["release"] == name:
                    say(f"{name}  {host:<8} {describe(about)}")


def describe(about: dict[str, Any]) -> str:
    words = ["current" if about["current"] else "       "]
    if is_bad(about):
        words.append(f"bad since {moment(about['bad_at'])}: {about.get('why', '')}")
    elif "good_at" in about:
        words.append(f"good since {moment(about['good_at'])}")
    else:
        words.append(f"staged {moment(about['staged_at'])}, never served")
    return "  ".join(words)


def moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")


def choose(known: dict[str, list[dict[str, Any]]], asked: str) -> str:
    """The release to go back to: the one that is asked for, or the last good one that is not current. Raises Failure."""
    everywhere = set.intersection(*({about["release"] for about in listing} for listing in known.values()))
    bad = {about["release"]: about.get("why", "") for listing in known.values() for about in listing if is_bad(about)}
    good = [about["release"] for about in next(iter(known.values())) if "good_at" in about]
    candidates = [name for name in good if name in everywhere and name not in bad and name not in current(known)]
    if asked:
        if asked not in everywhere:
            raise Failure(f"RELEASE is {asked!r}; on every app host there are: {', '.join(sorted(everywhere))}. See: make releases")
        if asked in bad:
            raise Failure(f"{asked} is known to be bad ({bad[asked]}); good ones: {', '.join(candidates) or 'none'}. See: make releases")
        return asked
    if not candidates:
        raise Failure("there is no other good release on every app host to go back to; see: make releases")
    return candidates[0]


def rollback(chosen: Settings) -> None:
    started = time.monotonic()
    name = choose(listings(chosen.environment), os.environ.get("RELEASE", ""))
    say(f"  Going back to release {name}")
    relay(chosen, "switch", name)
    say(f"Release {name} serves after {time.monotonic() - started:.0f} s. `make deploy` deploys what this checkout holds.")


def again(chosen: Settings, verb: str) -> None:
    """Reload or restart what serves, host by host."""
    serving = current(listings(chosen.environment))
    if len(serving) != 1:
        raise Failure(f"the app hosts serve different releases ({', '.join(sorted(serving))}); bring them together first: make deploy")
    relay(chosen, verb, serving.pop())


def relay(chosen: Settings, verb: str, name: str) -> None:
    playbook.run("relay", chosen.environment, "--extra-vars", json.dumps({"relay_verb": verb, "relay_release": name}))


def rotate(chosen: Settings, way: str) -> None:
    host = remote.require_host(chosen.environment, os.environ.get("HOST", ""), app_hosts(chosen.environment))
    move(chosen, host, way, os.environ.get("WHY") or "make drain")
    say(f"{host} is {'out of rotation; bring it back with: make undrain HOST=' + host if way == 'out' else 'in rotation'}.")


def move(chosen: Settings, host: str, way: str, why: str) -> None:
    values = {"rotation_host": host, "rotation_way": way, "rotation_why": why}
    playbook.run("rotation", chosen.environment, "--extra-vars", json.dumps(values))


def take_out(chosen: Settings, host: str) -> None:
    """Out of rotation, for good."""
    move(chosen, host, "out", "make remove-host")


def upgrade(chosen: Settings) -> None:
    """The distribution's packages, host by host; what wants a reboot of the edge or of the data waits for REBOOT=1."""
    started = time.monotonic()
    playbook.run("upgrade", chosen.environment, "--extra-vars", json.dumps({"upgrade_reboot": os.environ.get("REBOOT") == "1"}))
    say(f"Upgraded after {time.monotonic() - started:.0f} s.")


def maintenance(chosen: Settings) -> None:
    state = os.environ.get("STATE", "")
    if state not in ("on", "off"):
        raise Failure(f"STATE is {state!r}; expected on or off, as in: make maintenance STATE=on")
    playbook.run("maintenance", chosen.environment, "--extra-vars", json.dumps({"maintenance_state": state}))
    say("Everybody gets the maintenance page; open again with: make maintenance STATE=off" if state == "on" else "Open.")


def plan(chosen: Settings) -> None:
    """What a deploy would change. Builds the release, to know its name; changes no host."""
    if chosen.redis:
        raise Failure("a plan is of the hosts that are there; REDIS= makes hosts, or removes them: make deploy REDIS=" + chosen.redis)
    if chosen.local and inventory.load() is None:
        raise Failure("there is no cluster yet, so a deploy would make all of it: make deploy")
    release.build(chosen.environment)
    wanted = json.loads((BUILD / "app.json").read_text())["release"]
    serving = current(listings(chosen.environment))
    playbook.run("site", chosen.environment, "--check", "--diff")
    change = f"stays {wanted}" if serving == {wanted} else f"would change from {', '.join(sorted(serving)) or 'none'} to {wanted}"
    say(f"\nThe release {change}.")
    say("`changed` above counts what a deploy would change on each host; nothing was changed.")
