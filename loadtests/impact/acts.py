"""How a step of an operation is done: a verb, a playbook, a script on a host, a container, a release that is broken, clients."""

import io
import json
import os
import secrets
import shlex
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from loadtests.lab.errors import LabError
from loadtests.lab.hosts import Host, Hosts
from loadtests.lab.world import ROOT

from .throng import Throng

BUILD = ROOT / "build"
VERB_SECONDS = 900
SCRIPTS = Path(__file__).parent
# What makes a release bad, as a file of the application: its path and its text. The demo's names.
BROKEN = {
    "cannot-start": ("project/wsgi.py", 'raise RuntimeError("this release cannot start")\n'),
    "unhealthy": (
        "project/wsgi.py",
        'def application(environ, start_response):\n    start_response("503 Unhealthy", [])\n    return [b"no"]\n',
    ),
    "breaking-migration": (
        "workload/migrations/0999_contract.py",
        "from django.db import migrations\n\n\nclass Migration(migrations.Migration):\n"
        '    dependencies = [("workload", "0002_rows")]\n    operations = [migrations.RemoveField("row", "number")]\n',
    ),
    "another": ("project/another.py", ""),
}


class StepFailed(Exception):
    """A step did not do what it should; the message is its last words."""


class Acts:
    """Does the steps of operations on one environment."""

    def __init__(self, hosts: Hosts, log: Path, say: Callable[[str], None]) -> None:
        self.hosts, self.log, self.say = hosts, log, say
        self.throng = Throng(hosts)
        firsts = {"edge": hosts.edge, "app1": hosts.app[0], "app2": hosts.app[1], "data": hosts.first("postgresql")}
        firsts |= {"load": hosts.load, "redis": hosts.first("redis")}
        self.named = firsts
        self.words = {name: host.name for name, host in firsts.items()}
        self.words |= {f"{name}_address": host.variables["ansible_host"] for name, host in firsts.items()}

    def do(self, step: dict[str, Any]) -> None:
        """Raises StepFailed, LabError."""
        if "wait" in step:
            time.sleep(step["wait"])
        elif "make" in step:
            self.command(["make", *step["make"].format(**self.words).split()], step.get("code", 0))
        elif "playbook" in step:
            code = f"from cluster import playbook; playbook.run({step['playbook']!r}, {self.hosts.environment!r})"
            self.command([sys.executable, "-c", code], step.get("code", 0))
        elif "run" in step:
            script, host = step["run"].format(**self.words), self.host(step["host"])
            with self.log.open("a") as log:
                log.write(f"$ on {host.name}: {script}\n")
            self.hosts.run(host, f"sudo sh -c {quote(script)}")
        elif "script" in step:
            name, *arguments = step["script"].split()
            with self.log.open("a") as log:
                log.write(f"$ on {self.words[step['host']]}: {step['script']}\n")
            self.hosts.run(self.named[step["host"]], shlex.join(["sudo", "sh", "-s", *arguments]), stdin=(SCRIPTS / name).read_text())
        elif "clients" in step:
            self.clients(step["clients"])
        elif "container" in step:
            container = self.named[step["host"]].variables["cluster_container"]
            self.command(["docker", step["container"], container], 0)
        elif "release" in step:
            self.release(step["release"])

    def host(self, name: str) -> Host:
        """A host by what it is; who leads among several Redis is asked at that moment."""
        if name != "redis-leader":
            return self.named[name]
        address = self.hosts.run(self.named["redis"], "sudo redis-leader").strip()
        return next(host for host in self.hosts.in_group("redis") if host.variables["ansible_host"] == address)

    def clients(self, deed: str | dict[str, Any]) -> None:
        """So many come in, or those who are there do something; what came of it is then in `throng.facts`."""
        with self.log.open("a") as log:
            log.write(f"$ clients: {deed}\n")
        if isinstance(deed, dict):
            self.say(f"  {deed['count']} clients come in …")
            self.throng.come(deed)
        elif deed == "go":
            self.throng.go()
        else:
            self.throng.do(deed)

    def command(self, words: list[str], code: int) -> str:
        """Run it with its output in the log; raises StepFailed where it ends otherwise than with `code`."""
        if self.hosts.shared_machine:
            # The controller of real hosts is a machine of its own; this one must not take their CPUs away.
            words = ["nice", "-n", "10", *words]
        environment = os.environ | {"PYTHONPATH": str(ROOT / "docker"), "ENVIRONMENT": self.hosts.environment}
        began = self.log.stat().st_size if self.log.is_file() else 0
        with self.log.open("ab") as log:
            log.write(f"$ {' '.join(words)}\n".encode())
            log.flush()
            done = subprocess.run(
                words, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, timeout=VERB_SECONDS
            )
        said = self.log.read_bytes()[began:].decode(errors="replace")
        if done.returncode != code:
            last = [line for line in said.splitlines() if line.strip() and not line.startswith("make")][-1:] or ["nothing"]
            raise StepFailed(f"`{' '.join(words)}` ended with {done.returncode}, not {code}: {last[0][:300]}; the whole of it: {self.log}")
        return said

    def release(self, kind: str) -> None:
        """Deploy the built release with one file changed. A broken one must be refused, with the reason."""
        with changed_release(*BROKEN[kind]):
            code = f"from cluster import playbook; playbook.run('site', {self.hosts.environment!r}, '--tags', 'release,relay,nginx')"
            if kind == "another":
                self.command([sys.executable, "-c", code], 0)
                return
            code = f"import sys\nfrom cluster.console import Failure\ntry:\n    {code}\nexcept Failure:\n    sys.exit(3)"
            said = self.command([sys.executable, "-c", code], 3)
        if not ("did not take release" in said or "Remove field" in said):
            raise StepFailed(f"the deploy of a release with {kind} stopped, and not because of it; see {self.log}")


@contextmanager
def changed_release(path: str, text: str):
    """The built release under another name, with one file of the application changed; afterwards the former one is the built one."""
    about_file = BUILD / "app.json"
    before = about_file.read_text()
    about = json.loads(before)
    name = secrets.token_hex(6)
    old, new = (BUILD / "releases" / f"app-{release}" for release in (about["release"], name))
    if not old.is_dir():
        raise LabError(f"the built release {about['release']} is not in build/; make it again: make build")
    new.mkdir(parents=True)
    try:
        for file in old.iterdir():
            if file.name != "code.tar.gz":
                os.link(file, new / file.name)
        with tarfile.open(old / "code.tar.gz") as source, tarfile.open(new / "code.tar.gz", "w:gz") as target:
            for member in source:
                if member.name.removeprefix("./") not in (path, "RELEASE"):
                    target.addfile(member, source.extractfile(member) if member.isfile() else None)
            prefix = "./" if source.getnames()[0].startswith(".") else ""
            for file, content in ((path, text), ("RELEASE", name)):
                member = tarfile.TarInfo(prefix + file)
                member.size, member.mode, member.mtime = len(content.encode()), 0o644, int(time.time())
                target.addfile(member, io.BytesIO(content.encode()))
        partial = about_file.with_suffix(".partial")
        partial.write_text(json.dumps(about | {"release": name}))
        partial.replace(about_file)
        yield name
    finally:
        partial = about_file.with_suffix(".partial")
        partial.write_text(before)
        partial.replace(about_file)
        for file in new.iterdir():
            file.unlink()
        with suppress(OSError):
            new.rmdir()


def quote(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
