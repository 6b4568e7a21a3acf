"""Starts the launcher, or Daphne as it comes, in a process of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
MODULES = {"laurel_daphne": ROOT / "daphne", "daphne": None}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Daphne:
    """One server process. `ours` are flags that only the launcher knows; Daphne runs without them."""

    def __init__(self, module, folder, *flags, ours=(), listen=None, environment=(), descriptor=None):
        self.module = module
        self.port = free_port()
        self.out, self.err = folder / f"out-{self.port}", folder / f"err-{self.port}"
        listen = ["-b", "127.0.0.1", "-p", str(self.port)] if listen is None else listen
        command = [sys.executable, "-m", module, *listen, *flags, *(ours if self.cured else ())]
        command.append("daphne_application:application")
        if descriptor is not None:  # as systemd would hand it over
            command = ["sh", "-c", 'export LISTEN_PID=$$; exec "$@"', "sh", *command]
            environment = {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "daphne", **dict(environment)}
        paths = [str(HERE), *([str(MODULES[module])] if MODULES[module] else [])]
        self.process = subprocess.Popen(
            command,
            env={**os.environ, **dict(environment), "PYTHONPATH": os.pathsep.join(paths)},
            cwd=folder,
            stdout=self.out.open("wb"),
            stderr=self.err.open("wb"),
            close_fds=False,
            preexec_fn=(lambda: os.dup2(descriptor, 3)) if descriptor is not None else None,
        )

    @property
    def cured(self):
        return self.module == "laurel_daphne"

    @property
    def url(self):
        return f"ws://127.0.0.1:{self.port}"

    def wait_until_it_listens(self):
        def answers():
            assert self.process.poll() is None, f"{self.module} ended: {self.err.read_text()}"
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        eventually(answers)
        return self

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=5)

    def request(self, path="/", **headers):
        """Sends a request and returns the socket, to read the answer from."""
        connection = self.connect()
        lines = [f"GET {path} HTTP/1.1", "Host: test", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        return connection

    def get(self, path="/", **headers):
        with self.request(path, Connection="close", **headers) as connection:
            return read_all(connection)

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def exit_code(self, timeout=10):
        return self.process.wait(timeout)

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()

    def log_lines(self, **wanted):
        """The JSON lines on standard error that have these values."""
        lines = [json.loads(line) for line in self.err.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if all(line.get(name) == value for name, value in wanted.items())]

    def log_line(self, **wanted):
        return eventually(lambda: self.log_lines(**wanted))[0]

    def said(self, words):
        return self.out.read_text().splitlines().count(words)

    def memory(self):
        """Resident bytes now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def read_all(connection):
    """Everything until the end of the connection; a reset counts as the end."""
    chunks = []
    try:
        while chunk := connection.recv(65536):
            chunks.append(chunk)
    except (ConnectionResetError, TimeoutError):
        pass
    return b"".join(chunks).decode("latin1")


def eventually(condition, seconds=20):
    """The condition's value as soon as it is true."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"not true after {seconds} s: {condition}"
        time.sleep(0.02)
    return value
