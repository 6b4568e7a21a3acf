"""The verbs behind the Makefile: `python -m cluster VERB`."""

import contextlib
import errno
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable

import yaml

from . import (
    background,
    backups,
    dashboard,
    doctor,
    edge,
    engine,
    inventory,
    journals,
    lock,
    machines,
    operations,
    passwords,
    playbook,
    release,
    remote,
    scale,
    sensor,
    settings,
    status,
    vault,
    virtual,
)  # fmt: skip
from .console import Failure, patiently, say, step
from .paths import ROOT, VENV
from .paths import inventory as folder_of
from .settings import Settings

CODE_BAD_INPUT = 2
# These change hosts, one at a time; the second set wants them there already, and its lock lies on them.
CHANGING = {
    "prepare", "deploy", "provision", "boot", "topology", "side-by-side", "side-by-side-off", "rig", "rig-off", "destroy",
    "bench", "bench-full", "feed-check", "add-host", "remove-host", "rotate-secrets", "impact",
    "vault",
}  # fmt: skip
OPERATING = {
    "topology", "side-by-side", "side-by-side-off", "rollback", "reload", "restart", "drain", "undrain", "maintenance", "plan",
    "scale", "backup", "restore", "upgrade-os",
}  # fmt: skip
# These want nothing of an inventory that may be encrypted.
CLOSED = {"doctor", "destroy", "ssh", "logs", "report", "compare", "lab-check", "audit", "locust-stop", "backups"}
READY_SECONDS = 30
# Started, and answering.
START_LOCUST = """sudo systemctl start locust.service && for i in $(seq 60); do
python3 -c 'import socket; socket.create_connection(("127.0.0.1", {port}), 1)' 2> /dev/null && echo started && exit; sleep 0.5; done"""


def prepare(chosen: Settings) -> None:
    """What `vagrant up` needs before it can read the hosts."""
    if chosen.local:
        provider = inventory.provider(chosen)
        # A Vagrantfile can be judged without VirtualBox; `make boot` wants it.
        if provider != "virtualbox":
            machines.ensure(provider)
        machines.prepare(inventory.choose(chosen))


def boot(chosen: Settings) -> None:
    """The local cluster's hosts, up and known."""
    machines.ensure(inventory.provider(chosen))
    machines.boot(inventory.choose(chosen))


def build(chosen: Settings) -> None:
    engine.ensure()
    release.build(chosen.environment)


def provision(chosen: Settings) -> None:
    """Build, and let Ansible bring every host to what the inventory says."""
    if chosen.local:
        machines.learn_host_keys(inventory.choose(chosen), folder_of("local"))
    playbook.validate(chosen.environment)
    engine.ensure()
    release.build(chosen.environment)
    with lock.on_hosts(chosen.environment, "deploy"):
        say("  Configuring the hosts (ansible/site.yml)")
        playbook.run("site", chosen.environment, *(["--extra-vars", '{"release_force": true}'] if os.environ.get("FORCE") else []))
        verify(chosen)


def rotate_secrets(chosen: Settings) -> None:
    """New secrets, and every host brought to them; the release stays."""
    playbook.validate(chosen.environment)
    vault.refuse_rotation(chosen.environment, operations.app_hosts(chosen.environment)[0])
    operations.require_built(chosen.environment)
    passwords.rotate(chosen, bring)


def bring(chosen: Settings) -> None:
    """Every host to what the inventory says, with the release that was built last."""
    with lock.on_hosts(chosen.environment, "rotate-secrets"):
        playbook.run("site", chosen.environment)
        verify(chosen)


def verify(chosen: Settings) -> None:
    """The application answers through the edge, or Failure says what it said."""
    host = next(iter(inventory.hosts_by_group(folder_of(chosen.environment))["app"]))
    values = inventory.variables(chosen.environment, host)
    paths = {"health": values["application_health_path"], "ready": values["application_ready_path"]}
    with step("Checking that the application answers through the edge"):
        deadline = time.monotonic() + READY_SECONDS
        health = edge.health(chosen.environment, paths)
        while any(said != "200" for said in health.values()):
            if time.monotonic() > deadline:
                wrong = "; ".join(f"{paths[name]}: {said}" for name, said in health.items() if said != "200")
                raise Failure(f"the application does not answer through the edge: {wrong}. Look at: make status, make logs HOST={host}")
            time.sleep(0.5)
            health = edge.health(chosen.environment, paths)


def deploy(chosen: Settings) -> None:
    started = time.monotonic()
    scale.choose_redis(chosen)
    if chosen.local:
        if inventory.load():  # before the first boot there are no addresses to look at
            playbook.validate("local")
        boot(chosen)
    provision(chosen)
    if chosen.local:
        scale.remove_former_redis(inventory.load())
    summary(chosen, time.monotonic() - started)


def summary(chosen: Settings, seconds: float) -> None:
    host = next(iter(inventory.hosts_by_group(folder_of(chosen.environment))["app"]))
    served = edge.release(chosen.environment, inventory.variables(chosen.environment, host)["application_health_path"])
    say(f"\nDeployed release {served} to {chosen.environment} in {seconds:.0f} s.\n")
    cluster = inventory.load(chosen.environment)
    if cluster:
        authority = (folder_of(chosen.environment) / "pki/ca.crt").relative_to(ROOT)
        say(f"  https://localhost:{cluster.ports['HTTPS_PORT']}/    the application (its CA: {authority})")
        say(f"  http://localhost:{cluster.ports['LOCUST_PORT']}/     Locust, after `make locust`\n")
    say("Next: make status · make topology TOPOLOGY=asgi · make bench · make locust · make logs HOST=app1 UNIT=uwsgi")


def topology(chosen: Settings) -> None:
    """Serve another topology, and remember it."""
    name = os.environ.get("TOPOLOGY", "")
    known = yaml.safe_load((ROOT / "ansible/group_vars/all/topologies.yml").read_text())["topologies"]
    if name not in known:
        raise Failure(f"TOPOLOGY is {name!r}; there are: {', '.join(known)}, as in: make topology TOPOLOGY={next(iter(known))}")
    started = time.monotonic()
    playbook.run("topology", chosen.environment, "--extra-vars", f"topology={name}")
    (folder_of(chosen.environment) / "group_vars/laurel/topology.yml").write_text(
        f"# What `make topology` chose last. Not in git.\ntopology: {name}\n"
    )
    verify(chosen)
    say(f"Serving {name} after {time.monotonic() - started:.0f} s.")


def side_by_side(chosen: Settings, on: bool) -> None:
    playbook.run("topology", chosen.environment, "--extra-vars", json.dumps(on_now(chosen) | {"side_by_side": on}))


def rig(chosen: Settings, on: bool) -> None:
    """Turn on what a bench compares beside the deployed servers, or remove it."""
    started = time.monotonic()
    playbook.run("rig", chosen.environment, "--extra-vars", json.dumps(on_now(chosen) | {"rig": on}))
    say(f"The rig is {'on' if on else 'off'} after {time.monotonic() - started:.0f} s.")


def on_now(chosen: Settings) -> dict[str, bool]:
    """Which of the two the edge serves now: each is switched without the other, until a deploy ends both."""
    host = next(iter(inventory.hosts_by_group(folder_of(chosen.environment))["nginx"]))
    said = remote.read(chosen.environment, host, "cat /etc/laurel/topology 2>/dev/null")
    if said is None:
        raise Failure(f"{host} does not answer; see: make status")
    words = said.strip().split(" + ")
    return {"side_by_side": words[0].startswith("side by side"), "rig": "rig" in words[1:]}


def destroy(chosen: Settings) -> None:
    if not chosen.local:
        raise Failure(f"only the local cluster can be destroyed, not {chosen.environment!r}")
    cluster = inventory.load()
    if cluster is None:
        say("There is no cluster of this checkout.")
        return
    if cluster.provider == "docker" or virtual.installed(cluster.provider):
        machines.ensure(cluster.provider)
    scale.remove_former_redis(cluster)
    machines.destroy(cluster)
    for name in (
        "addresses.yml",
        "ssh_config",
        "ssh/known_hosts",
        "group_vars/laurel/topology.yml",
        "group_vars/laurel/scale.yml",
        inventory.ADDED,
    ):
        (folder_of("local") / name).unlink(missing_ok=True)
    say("Removed. Images and built releases are kept; `make clean` removes what this checkout built.")


def ssh(chosen: Settings) -> int:
    """A shell on a host, or with CMD= one command there."""
    host = remote.require_host(chosen.environment, os.environ.get("HOST", ""), all_hosts(chosen))
    command = ["--", os.environ["CMD"]] if os.environ.get("CMD") else []
    return subprocess.call(remote.argv(chosen.environment, host, *command))


def logs(chosen: Settings) -> int:
    """The last lines of a host's journal, of one unit where UNIT is given; FOLLOW=1 goes on. REQUEST=: the way of one request."""
    if request := os.environ.get("REQUEST"):
        return journals.show(chosen.environment, request)
    host = remote.require_host(chosen.environment, os.environ.get("HOST", ""), all_hosts(chosen))
    unit, lines = os.environ.get("UNIT", ""), os.environ.get("LINES") or "100"
    if not lines.isdigit():
        raise Failure(f"LINES is {lines!r}; expected a number, as in: make logs HOST={host} LINES=200")
    follow = ["--follow"] if os.environ.get("FOLLOW") else []
    wanted = ["--unit", unit] if unit else []
    return subprocess.call(
        remote.argv(chosen.environment, host, "--", "sudo", "journalctl", "--no-pager", "--lines", lines, *wanted, *follow)
    )


def all_hosts(chosen: Settings) -> list[str]:
    groups = inventory.hosts_by_group(folder_of(chosen.environment))
    return list(dict.fromkeys(host for hosts in groups.values() for host in hosts))


def locust(chosen: Settings) -> None:
    """Locust's web UI, and beside it on this machine what brings it the CPU of the hosts."""
    host = next(iter(inventory.hosts_by_group(folder_of(chosen.environment))["locust"]))
    cluster = inventory.load(chosen.environment)
    port = cluster.ports["LOCUST_PORT"] if cluster else 8089
    if remote.read(chosen.environment, host, START_LOCUST.format(port=port)) != "started\n":
        raise Failure(f"Locust does not start on {host}; see: make logs HOST={host} UNIT=locust, and deploy first: make deploy")
    web = f"http://{'localhost' if cluster else host}:{port}/"
    live = [VENV / "bin/python", "-m", "loadtests.lab.live", "--environment", chosen.environment, "--web", web]
    background.start("loadtests.lab.live", live)
    say(f"Locust's web UI: {web} (stop it with: make locust-stop)")


def locust_stop(chosen: Settings) -> None:
    background.stop("loadtests.lab.live")
    host = next(iter(inventory.hosts_by_group(folder_of(chosen.environment))["locust"]))
    remote.read(chosen.environment, host, "sudo systemctl stop locust.service")


def demo_sensor(chosen: Settings) -> int:
    """Publish readings over MQTT from the load host, as a thing in the field would."""
    host = next(iter(inventory.hosts_by_group(folder_of(chosen.environment))["locust"]))
    command = remote.argv(chosen.environment, host, sensor.command())
    return subprocess.run(command, input=sensor.wanted(chosen.environment), text=True).returncode


def bench(chosen: Settings, plan: str = "bench") -> int:
    """Compare what the plan names; deploy first where nothing answers."""
    if chosen.local and (inventory.load() is None or not edge_answers(chosen)):
        deploy(chosen)
    words = ["--plan", plan]
    for name in ("SCENARIO", "RESUME"):
        words += [f"--{name.lower()}", os.environ[name]] if os.environ.get(name) else []
    return lab("bench", *words, *shlex.split(os.environ.get("BENCH", "")))


def lab(*words: str) -> int:
    return patiently([VENV / "bin/python", "-m", "loadtests.lab", *words], cwd=ROOT)


def report(chosen: Settings) -> int:
    return lab("report", *filter(None, [os.environ.get("RESULT")]))


def compare(chosen: Settings) -> int:
    if not os.environ.get("A"):
        raise Failure("A is empty; name two results, as in: make compare A=results/2026-01-31T12-00-00Z B=results/latest")
    return lab("compare", os.environ["A"], *filter(None, [os.environ.get("B")]))


def lab_check(chosen: Settings) -> int:
    """In the builder container, where the tests of the lab run."""
    return subprocess.call([sys.executable, "-m", "cluster.testbed", "lab-check"], cwd=ROOT)


def feed_check(chosen: Settings) -> int:
    """Publish, read on every transport, restart what may restart; exit code 1 where a message was lost, doubled or late in line."""
    return patiently([VENV / "bin/python", "-m", "loadtests.feedcheck"], cwd=ROOT)


def impact(chosen: Settings) -> int:
    """Operations and faults with people connected; exit code 1 where a promise was broken."""
    return patiently([VENV / "bin/python", "-m", "loadtests.impact"], cwd=ROOT)


def audit(chosen: Settings) -> int:
    """Every judge, or those named in JUDGES."""
    words = shlex.split(os.environ.get("JUDGES", ""))
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'docker'}:{ROOT / 'tests'}"}
    return subprocess.call([str(VENV / "bin/python"), "-m", "audit", *words], cwd=ROOT, env=environment)


def edge_answers(chosen: Settings) -> bool:
    try:
        return engine.answers() and edge.get(chosen.environment, "/").status < 500
    except OSError:
        return False


VERBS: dict[str, Callable[[Settings], int | None]] = {
    "prepare": prepare,
    "deploy": deploy,
    "provision": provision,
    "build": build,
    "verify": verify,
    "boot": boot,
    "topology": topology,
    "side-by-side": lambda chosen: side_by_side(chosen, True),
    "side-by-side-off": lambda chosen: side_by_side(chosen, False),
    "rig": lambda chosen: rig(chosen, True),
    "rig-off": lambda chosen: rig(chosen, False),
    "status": lambda chosen: status.show(chosen.environment, os.environ.get("FORMAT") or "text"),
    "doctor": doctor.run,
    "releases": operations.releases,
    "rollback": operations.rollback,
    "reload": lambda chosen: operations.again(chosen, "reload"),
    "restart": lambda chosen: operations.again(chosen, "restart"),
    "drain": lambda chosen: operations.rotate(chosen, "out"),
    "undrain": lambda chosen: operations.rotate(chosen, "in"),
    "maintenance": operations.maintenance,
    "plan": operations.plan,
    "scale": lambda chosen: scale.scale(chosen, on_now(chosen)),
    "add-host": lambda chosen: scale.add_host(chosen, provision),
    "remove-host": lambda chosen: scale.remove_host(chosen, provision, operations.take_out),
    "backup": backups.make,
    "backups": backups.listing,
    "restore": lambda chosen: backups.restore(chosen, lambda chosen: operations.again(chosen, "reload")),
    "rotate-secrets": rotate_secrets,
    "vault": vault.keep,
    "upgrade-os": operations.upgrade,
    "logs": logs,
    "ssh": ssh,
    "dashboard": dashboard.open_way,
    "bench": bench,
    "bench-full": lambda chosen: bench(chosen, "full"),
    "report": report,
    "compare": compare,
    "lab-check": lab_check,
    "feed-check": feed_check,
    "impact": impact,
    "audit": audit,
    "demo-sensor": demo_sensor,
    "locust": locust,
    "locust-stop": locust_stop,
    "destroy": destroy,
}


def main() -> int:
    verb = VERBS.get(sys.argv[1] if len(sys.argv) > 1 else "")
    if verb is None:
        print(f"laurel: expected one of: {', '.join(VERBS)}", file=sys.stderr)
        return CODE_BAD_INPUT
    name = sys.argv[1]
    try:
        chosen = settings.read()
        if name not in CLOSED:
            vault.unlock(chosen.environment)
        with (
            lock.exclusive(chosen.environment, name) if name in CHANGING | OPERATING else contextlib.nullcontext(),
            lock.on_hosts(chosen.environment, name) if name in OPERATING else contextlib.nullcontext(),
        ):
            return verb(chosen) or 0
    except Failure as failure:
        print(f"laurel: {failure}", file=sys.stderr)
        return CODE_BAD_INPUT
    except BrokenPipeError:  # `make status | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        where = f" where {error.filename} lies" if error.filename else ""
        print(f"laurel: the disk is full{where}; make room, as with make clean, and run the same command again", file=sys.stderr)
        return CODE_BAD_INPUT
    except KeyboardInterrupt:
        print("\nlaurel: interrupted; the same command goes on from where this one was", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
