"""The only module that touches hosts: SSH, pinning, the side-by-side mode.

A host is what the inventory says. Every command goes through `ssh -F <inventory>/ssh_config`.
"""

import base64
import hashlib
import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from .errors import LabError
from .world import ROOT

CODE = "/srv/loadtests/current/code"
LOCUST = "/srv/loadtests/current/venv/bin/locust"
APP_MANAGE = "/usr/local/bin/app-manage"
REMOTE_PREFIX = "/tmp/laurel-lab"
CONFIG_PATHS = "/etc/nginx /etc/uwsgi* /etc/laurel /etc/systemd/system /etc/redis /etc/postgresql"
SSH_TIMEOUT_SECONDS = 60
LOAD_SECONDS = 120


@dataclass
class Host:
    name: str
    variables: dict[str, Any]
    groups: set[str] = field(default_factory=set)


class Hosts:
    """The hosts of one environment. Raises LabError when the environment is not there or a host doesn't answer."""

    def __init__(self, environment: str) -> None:
        self.environment = environment
        self.inventory = ROOT / "ansible/inventories" / environment
        self.ssh_config = self.inventory / "ssh_config"
        if not self.inventory.is_dir():
            known = ", ".join(sorted(p.name for p in self.inventory.parent.glob("*") if p.is_dir())) or "none"
            raise LabError(f"There is no environment {environment!r} (ENVIRONMENT=…). Environments: {known}.")
        if not self.ssh_config.is_file():
            raise LabError(f"Nothing is deployed in {environment!r}: {self.ssh_config} is missing. Run `make deploy`.")
        self.all = read_inventory(self.inventory)
        self._pinned: dict[str, str] = {}

    def in_group(self, *groups: str) -> list[Host]:
        return [host for host in self.all if host.groups & set(groups)]

    def first(self, *groups: str) -> Host:
        found = self.in_group(*groups)
        if not found:
            raise LabError(f"The inventory {self.environment!r} has no host in group {' or '.join(groups)}.")
        return found[0]

    @property
    def edge(self) -> Host:
        return self.first("nginx", "edge")

    @property
    def loads(self) -> list[Host]:
        """The hosts that make load. With several, the first leads and each of them has one of Locust's workers."""
        self.first("locust", "load")
        return self.in_group("locust", "load")

    @property
    def load(self) -> Host:
        return self.loads[0]

    @property
    def app(self) -> list[Host]:
        return self.in_group("app")

    @property
    def serving(self) -> list[Host]:
        """All hosts but those that only make load."""
        return [host for host in self.all if host not in self.in_group("locust", "load")]

    @property
    def shared_machine(self) -> bool:
        """The hosts are containers of this machine and share its kernel."""
        return {h.variables.get("cluster_provider") for h in self.all} == {"docker"}

    def serving_cpus(self) -> int:
        """CPUs of the serving hosts together."""
        counts = [int(out) for out in self.run_all(self.serving, "nproc").values()]
        return max(counts) if self.shared_machine else sum(counts)

    def https_port(self) -> int:
        return int(self.edge.variables.get("cluster_https_port", 443))

    @property
    def scaled(self) -> dict[str, int]:
        """The sizes that `make scale` chose for this environment, under their names in sizes.yml."""
        chosen = self.first("app").variables.get("scaled") or {}
        names = {"uwsgi": "uwsgi_processes", "daphne": "daphne_instances"}
        return {names[server]: count for server, count in chosen.items() if server in names}

    # Commands

    def argv(self, host: Host, command: str) -> list[str]:
        return ["ssh", "-F", str(self.ssh_config), "-o", "BatchMode=yes", host.name, "--", command]

    def run(self, host: Host, command: str, *, stdin: str = "", timeout: float = SSH_TIMEOUT_SECONDS) -> str:
        """Standard output of a command on a host. Raises LabError with its last words when it fails."""
        try:
            done = subprocess.run(self.argv(host, command), input=stdin, capture_output=True, text=True, timeout=timeout, check=False)
        except subprocess.TimeoutExpired:
            raise LabError(f"{host.name} did not answer within {timeout:.0f} s. Look at `make status`.") from None
        if done.returncode == 255:
            raise LabError(f"{host.name} can't be reached by SSH ({last_line(done.stderr)}). Run `make status`.")
        if done.returncode:
            raise LabError(f"{host.name}: `{command[:100]}` failed: {last_line(done.stderr or done.stdout)}")
        return done.stdout

    def run_all(self, hosts: list[Host], command: str) -> dict[str, str]:
        """The same command on several hosts at once: `{host name: standard output}`."""
        with ThreadPoolExecutor(max(1, len(hosts))) as pool:
            return dict(zip((h.name for h in hosts), pool.map(lambda h: self.run(h, command), hosts), strict=True))

    def start(self, host: Host, command: str) -> subprocess.Popen[str]:
        """A command that goes on, with pipes to its standard input and output. It survives no ctrl-C of ours."""
        return subprocess.Popen(
            self.argv(host, command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,
        )

    # Counters and logs

    def read_logs(self, since: float, until: float) -> dict[str, dict[str, Any]]:
        """What the logs of the serving hosts say about a window of Unix time (see logs.py)."""
        source = (Path(__file__).parent / "logs.py").read_text(encoding="utf-8")
        command = f"sudo python3 - {since:.3f} {until:.3f}"
        with ThreadPoolExecutor(len(self.serving)) as pool:
            said = pool.map(lambda host: (host.name, json.loads(self.run(host, command, stdin=source))), self.serving)
            return dict(said)

    def start_samplers(self) -> "Samplers":
        return Samplers(self, self.serving)

    # The load process

    def start_load(self, arguments: list[str]) -> subprocess.Popen[str]:
        """Start Locust on the load hosts; it ends by itself after `LOAD_SECONDS` at most. The process is the one that leads."""
        if len(self.loads) == 1:
            return self.start(self.load, bounded(arguments, "lead"))
        leader = self.start(self.load, bounded([*arguments, "--master", "--expect-workers", str(len(self.loads))], "lead"))
        worker = [*arguments[: arguments.index("--headless")], "--worker", "--master-host", self.load.variables["ansible_host"]]
        # Locust's leader tells its workers everything else, and to end.
        command = f"sh -c {shlex.quote(bounded(worker, 'worker'))} > {REMOTE_PREFIX}-worker.log 2>&1 < /dev/null &"
        try:
            self.run_all(self.loads, command)
        except BaseException:
            # Nobody has the leader yet, so nobody else would end it.
            leader.kill()
            self.run(self.load, f"kill $(cat {REMOTE_PREFIX}-lead.pid) 2>/dev/null; true")
            raise
        return leader

    def stop_load(self) -> None:
        self.run_all(self.loads, f"cat {REMOTE_PREFIX}-*.pid 2>/dev/null | xargs -r kill 2>/dev/null; true")

    def read_load_file(self, path: str) -> str:
        return self.run(self.load, f"cat {shlex.quote(path)} && rm -f {shlex.quote(path)}")

    def put_on_load(self, path: str, text: str) -> None:
        """Write a file on every load host: each of them has users that read it."""
        for host in self.loads:
            self.run(host, f"umask 077; cat > {shlex.quote(path)}", stdin=text)

    def clean_load(self) -> None:
        self.run_all(self.loads, f"rm -f {REMOTE_PREFIX}*")

    def restart(self, services: list[str]) -> None:
        """Restart the units of these services on the app hosts."""
        patterns = " ".join(shlex.quote(p) for s in services for p in (f"{s}.service", f"{s}@*.service"))
        # systemctl refuses a name that is not there; a host has the one form or the other.
        units = f"$(systemctl list-units --plain --no-legend {patterns} | cut -d' ' -f1)"
        self.run_all(self.app, f"sudo systemctl restart {units}")

    def pause_web_ui(self) -> bool:
        """Stop Locust's web UI; True if it was running."""
        state = self.run(self.load, "systemctl is-active locust.service || true").strip()
        if state == "active":
            self.run(self.load, "sudo systemctl stop locust.service")
        return state == "active"

    def resume_web_ui(self) -> None:
        self.run(self.load, "sudo systemctl start locust.service")

    def make_sessions(self, count: int) -> str:
        """Sessions of demo users, as the JSON that the chat users read."""
        text = self.run(self.app[0], f"sudo {APP_MANAGE} demo_users --count {count} --sessions")
        try:
            if len(json.loads(text)["sessions"]) >= count:
                return text
        except (ValueError, KeyError, TypeError):
            pass
        raise LabError(f"demo_users gave no {count} sessions. Try it: ssh {self.app[0].name} sudo {APP_MANAGE} demo_users")

    def status_of(self, url: str) -> str:
        """HTTP status of a URL as the load host sees it, or why there is none."""
        return self.run(self.load, f"python3 -c {shlex.quote(ASK)} {shlex.quote(url)}").strip()

    def body_of(self, url: str) -> str:
        """The body that a URL answers the load host with; empty when it does not answer 200."""
        return self.run(self.load, f"python3 -c {shlex.quote(FETCH)} {shlex.quote(url)}")

    def mqtt(self) -> tuple[str, str] | None:
        """Address of the MQTT broker and the password of its user `sensor`; None where there is no broker."""
        brokers = self.in_group("mosquitto")
        secret = self.mqtt_password("sensor") if brokers else None
        return (brokers[0].variables["ansible_host"], secret) if secret else None

    def mqtt_password(self, user: str) -> str | None:
        """What opens the broker to a user: of the inventory where it gives its secrets itself, else of the file that was made."""
        given = self.first("mosquitto").variables.get("secrets", {}).get("mqtt_passwords")
        if isinstance(given, dict):
            return given.get(user)
        path = ROOT / f"ansible/secrets/{self.environment}/mqtt_{user}"
        return path.read_text(encoding="utf-8").strip() if path.is_file() else None

    # Pinning

    def pin(self) -> dict[str, Any]:
        """Put the load on the last CPU and the servers on the others; say what was done.

        Only for container hosts. `unpin` gives all CPUs back.
        """
        cpus = sorted(os.sched_getaffinity(0))
        if not self.shared_machine:
            return {
                "pinned": False,
                "reason": "the hosts are not containers of this machine; they have CPUs of their own",
            }
        if len(cpus) < 2 or not shutil.which("docker"):
            return {"pinned": False, "reason": "one CPU only" if len(cpus) < 2 else "no docker command"}
        servers, load = cpus[:-1], cpus[-1:]
        for host in self.all:
            wanted = load if host not in self.serving else servers
            self._pinned[host.variables["cluster_container"]] = ",".join(map(str, cpus))
            docker_cpus(host.variables["cluster_container"], ",".join(map(str, wanted)))
        return {"pinned": True, "servers": servers, "generator": load}

    def unpin(self) -> None:
        for container, cpus in self._pinned.items():
            docker_cpus(container, cpus)
        self._pinned.clear()

    # Modes and provenance

    def side_by_side(self, on: bool) -> None:
        """Serve all topologies at once, a server name each, or go back to the one of the inventory."""
        self._make("side-by-side" if on else "side-by-side-off")

    def rig(self, on: bool) -> None:
        """Serve the rig's targets beside the rest, or remove them without trace."""
        self._make("rig" if on else "rig-off")

    def _make(self, verb: str) -> None:
        done = subprocess.run(
            ["make", "--no-print-directory", verb, f"ENVIRONMENT={self.environment}"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            said = "\n".join(line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("make: "))
            raise LabError(f"`make {verb}` failed: {last_line(said)}. Run it alone to see it all.")

    def manifest(self) -> dict[str, Any]:
        return json.loads(self.run(self.app[0], "sudo cat /srv/app/current/manifest.json"))

    def config_hashes(self) -> dict[str, str]:
        """One SHA-256 per host over the rendered configuration of the services."""
        command = f"sudo sh -c 'find {CONFIG_PATHS} -type f 2>/dev/null | sort | xargs -r sha256sum | sha256sum'"
        return {name: out.split()[0] for name, out in self.run_all(self.serving, command).items()}

    def versions(self) -> dict[str, str]:
        programs = "nginx -v; redis-server --version; postgres --version; python3 --version"
        command = f"PATH=$PATH:/usr/sbin:$(echo /usr/lib/postgresql/*/bin); ({programs}) 2>&1 | grep -v found; true"
        return {name: " · ".join(out.splitlines()) for name, out in self.run_all(self.all, command).items()}

    def load_code_hash(self) -> str:
        """The hash of the load hosts' users and scenarios; `mixed` where they have different ones."""
        found = {out.split()[0] for out in self.run_all(self.loads, f"cd {CODE} && {HASH_COMMAND}").values()}
        return found.pop() if len(found) == 1 else "mixed"


def bounded(arguments: list[str], role: str) -> str:
    """The command line of a Locust process that ends after `LOAD_SECONDS` at most and leaves its process id."""
    command = shlex.join([LOCUST, *arguments])
    return f"cd {CODE} && ulimit -n $(ulimit -Hn); echo $$ > {REMOTE_PREFIX}-{role}.pid; exec timeout {LOAD_SECONDS} {command}"


ASK = """
import ssl, sys, urllib.error, urllib.request
try:
    print(urllib.request.urlopen(sys.argv[1], context=ssl._create_unverified_context(), timeout=10).status)
except urllib.error.HTTPError as error:
    print(error.code)
except OSError as error:
    print(error)
"""

FETCH = """
import ssl, sys, urllib.request
try:
    print(urllib.request.urlopen(sys.argv[1], context=ssl._create_unverified_context(), timeout=10).read().decode())
except OSError:
    pass
"""

HASH_COMMAND = "cat $(find loadtests/users loadtests/scenarios -name '*.py' | LC_ALL=C sort) | sha256sum"


def local_load_code_hash() -> str:
    """The hash of the users and scenarios in this checkout, as `load_code_hash` takes it on the load host."""
    files = [str(p.relative_to(ROOT)) for d in ("users", "scenarios") for p in (ROOT / "loadtests" / d).rglob("*.py")]
    return hashlib.sha256(b"".join((ROOT / f).read_bytes() for f in sorted(files))).hexdigest()


class Samplers:
    """One sampler process a host, kept open for a trial; `mark()` reads all of them at once."""

    def __init__(self, hosts: Hosts, on: list[Host]) -> None:
        source = base64.b64encode((Path(__file__).parent / "sampler.py").read_bytes()).decode()
        command = f"exec python3 -c \"import base64; exec(base64.b64decode('{source}').decode())\""
        self._processes = {host.name: hosts.start(host, command) for host in on}

    def mark(self) -> dict[str, dict[str, Any]]:
        """`{host: what sampler.py prints}`, all hosts asked before the first answer is read."""
        try:
            for process in self._processes.values():
                process.stdin.write("\n")
                process.stdin.flush()
            return {name: json.loads(next(answer_lines(p.stdout))) for name, p in self._processes.items()}
        except (OSError, StopIteration, ValueError) as error:
            raise LabError(f"A host stopped answering during a trial ({error!r}). Look at `make status`.") from error

    def close(self) -> None:
        for process in self._processes.values():
            process.stdin.close()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
            process.stdout.close()
            process.stderr.close()


def answer_lines(stream: IO[str]) -> Iterator[str]:
    return (line for line in stream if line.startswith("{"))


def read_inventory(folder: Path) -> list[Host]:
    tool = ROOT / ".venv/bin/ansible-inventory"
    program = str(tool) if tool.is_file() else shutil.which("ansible-inventory")
    if not program:
        raise LabError("ansible-inventory is not installed in .venv. Run `make deploy`, which installs it.")
    # With this configuration Ansible does not take the files of secrets/ beside the inventory for inventories.
    environment = os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible/ansible.cfg")}
    command = [program, "-i", str(folder), "--list"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT / "ansible", env=environment)
    if done.returncode:
        raise LabError(f"The inventory {folder} can't be read: {last_line(done.stderr)}")
    return hosts_of(json.loads(done.stdout))


def hosts_of(data: dict[str, Any]) -> list[Host]:
    """The hosts in the output of `ansible-inventory --list`: those that have an address."""
    variables = data["_meta"]["hostvars"]
    hosts = {name: Host(name, facts) for name, facts in variables.items() if "ansible_host" in facts}
    for group, content in data.items():
        for name in content.get("hosts", []) if isinstance(content, dict) else []:
            if name in hosts:
                hosts[name].groups.add(group)
    return list(hosts.values())


def docker_cpus(container: str, cpus: str) -> None:
    done = subprocess.run(["docker", "update", "--cpuset-cpus", cpus, container], capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"CPUs {cpus} can't be given to the container {container}: {last_line(done.stderr)}")


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return lines[-1] if lines else "no message"
