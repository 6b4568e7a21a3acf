"""The cluster as the tests reach it, and its users."""

import json
import os
import re
import secrets
import signal
import ssl
import subprocess
import time
from dataclasses import dataclass

import httpx
import yaml
from websockets.sync.client import connect

SECONDS = 900  # nothing takes so long, even on a machine that does much else
ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Done:
    """A verb that ended: its exit code, what it said, how long it took."""

    code: int
    out: str
    err: str
    seconds: float
    git_before: str = ""

    @property
    def complaint(self):
        """What went to standard error, without make's own line."""
        return [line for line in self.err.splitlines() if not line.startswith("make: ")]


class Cluster:
    def __init__(self, root):
        self.root = root
        self.inventory = root / "ansible/inventories/local"

    def make(self, verb, **settings):
        """Run `make VERB NAME=value …` in the checkout."""
        started = time.monotonic()
        command = ["make", verb, *(f"{name}={value}" for name, value in settings.items())]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, cwd=self.root, start_new_session=True, **pipes) as process:
            try:
                out, err = process.communicate(timeout=SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)  # all of it: what make started goes on otherwise
                raise
        return Done(process.returncode, ANSI.sub("", out), ANSI.sub("", err), time.monotonic() - started)

    def play(self, *arguments):
        """Run ansible/site.yml as the verbs do."""
        code = "import os, sys; from cluster import playbook; os.execve(sys.argv[1], sys.argv[1:], playbook.environment())"
        python, ansible = self.root / ".venv/bin/python", self.root / ".venv/bin/ansible-playbook"
        command = [python, "-c", code, ansible, "--inventory", self.inventory, "site.yml", *arguments]
        environment = os.environ | {"PYTHONPATH": str(self.root / "docker")}
        done = subprocess.run(
            command, cwd=self.root / "ansible", env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=SECONDS
        )
        return Done(done.returncode, ANSI.sub("", done.stdout), done.stderr, 0)

    def prometheus(self, path):
        """What Prometheus answers, asked on its own host."""
        address = f"http://127.0.0.1:9090/api/v1/{path}"
        code, said = self.on(
            "load", f"python3 -c \"import urllib.request as r; print(r.urlopen('{address}', timeout=10).read().decode())\""
        )
        assert code == 0, said
        return json.loads(said)["data"]

    def git_status(self):
        command = ["git", "status", "--short", "--untracked-files=all"]
        return subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=True).stdout

    def on(self, host, script):
        """Run a script on a host: (exit code, output)."""
        command = ["ssh", "-F", self.inventory / "ssh_config", host, "--", script]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60)
        return done.returncode, done.stdout + done.stderr

    @property
    def addresses(self):
        return yaml.safe_load((self.inventory / "addresses.yml").read_text())["laurel"]

    def address(self, host):
        return self.addresses["hosts"][host]["ansible_host"]

    def container(self, host):
        return self.addresses["hosts"][host]["cluster_container"]

    def status(self):
        return json.loads(self.make("status", FORMAT="json").out)

    @property
    def port(self):
        return self.addresses["vars"]["cluster_https_port"]

    @property
    def url(self):
        return f"https://localhost:{self.port}"

    @property
    def trust(self):
        return ssl.create_default_context(cafile=self.inventory / "pki/ca.crt")

    def browser(self, **options):
        return httpx.Client(base_url=self.url, verify=self.trust, http2=True, trust_env=False, timeout=15, **options)

    def secrets(self):
        folder = self.root / "ansible/secrets/local"
        return {
            path.name: path.read_text().strip()
            for path in folder.iterdir()
            if not path.name.endswith((".lock", ".lockfile")) and path.name[0] != "."
        }


class User:
    """Somebody with a browser, who signs up."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.name = f"test-{secrets.token_hex(4)}"
        self.password = secrets.token_urlsafe(12)
        self.browser = cluster.browser(headers={"Referer": cluster.url + "/"})

    def post(self, path, **form):
        self.browser.get("/accounts/login/")
        return self.browser.post(path, data={"csrfmiddlewaretoken": self.browser.cookies["__Host-csrftoken"], **form})

    def sign_up(self):
        answer = self.post("/accounts/signup/", username=self.name, password1=self.password, password2=self.password)
        assert answer.status_code == 302, answer.text
        return self

    def log_in(self):
        answer = self.post("/accounts/login/", username=self.name, password=self.password)
        assert answer.status_code == 302, answer.text
        return self

    def open(self, path, **options):
        """Open a WebSocket with the browser's session, as the browser would."""
        cookie = "; ".join(f"{name}={value}" for name, value in self.browser.cookies.items())
        options = {"origin": self.cluster.url, "additional_headers": {"Cookie": cookie}, "open_timeout": 15} | options
        # This client reads in one thread and writes in another. Python 3.11's ssl does not guard that, and TLS 1.3 brings its
        # session tickets just then: about 1 of 100 handshakes was lost (python-websockets/websockets#1648).
        trust = self.cluster.trust
        trust.maximum_version = ssl.TLSVersion.TLSv1_2
        return connect(f"wss://localhost:{self.cluster.port}{path}", ssl=trust, proxy=None, **options)


def until(check, seconds=30):
    """Wait until check() is true; returns its last value."""
    deadline = time.monotonic() + seconds
    while not (value := check()) and time.monotonic() < deadline:
        time.sleep(0.5)
    return value


def changes(recap):
    """What Ansible's recap says: {host: changed}; a host that failed counts as -1."""
    lines = re.findall(r"^(\w+)\s+: ok=\d+\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", recap, re.MULTILINE)
    return {host: int(changed) if (unreachable, failed) == ("0", "0") else -1 for host, changed, unreachable, failed in lines}


def receive(socket, kind):
    """The next frame of a type."""
    while True:
        frame = json.loads(socket.recv(timeout=10))
        if frame["type"] == kind:
            return frame
