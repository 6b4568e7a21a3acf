"""Real servers in processes of their own: Daphne and uWSGI for the test database, Redis and its sentinel."""

import http.client
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote, urlsplit

from django.db import connection

APP = Path(__file__).resolve().parent.parent
UWSGI = shutil.which("uwsgi", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
REDIS = shutil.which("redis-server")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server:
    """A process that listens on a port of its own; `stop` and `start` again keep the port."""

    def __init__(self, *command, environment=None, ready=None):
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.command = [part.replace("PORT", str(self.port)) for part in command]
        self.environment, self.ready = environment, ready or self._listens
        self.start()

    def start(self):
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(self.command, cwd=APP, env=self.environment, **silent)
        for _ in range(200):
            if self.ready():
                return self
            assert self.process.poll() is None, f"ended: {self.command}"
            time.sleep(0.1)
        raise AssertionError(f"not ready: {self.command}")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _listens(self):
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0


class Web(Server):
    """A server of the project, for the test database."""

    def __init__(self, *command, **environment):
        url = urlsplit(os.environ["DATABASE_URL"])
        database = url._replace(path="/" + quote(connection.settings_dict["NAME"])).geturl()
        settings = {"DATABASE_URL": database, "DJANGO_SETTINGS_MODULE": "tests.settings", **environment}
        super().__init__(*command, environment=os.environ | settings, ready=self._answers)

    def _answers(self):
        # Closed by hand: urlopen leaves the socket of a refused connection to the garbage collector.
        client = http.client.HTTPConnection(self.address, timeout=1)
        try:
            client.request("GET", "/healthz")
            return client.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            client.close()


def daphne(**environment):
    return Web(sys.executable, "-m", "daphne", "-b", "127.0.0.1", "-p", "PORT", "project.asgi:application", **environment)


def uwsgi(**environment):
    options = ["--master", "--processes=2", "--lazy-apps", "--enable-threads", "--need-app", "--die-on-term", "--no-orphans"]
    return Web(UWSGI, "--http-socket=127.0.0.1:PORT", "--module=project.wsgi", *options, **environment)


def redis(*options):
    return Server(
        REDIS, "--port", "PORT", "--bind", "127.0.0.1", "--save", "", "--dir", tempfile.gettempdir(), "--dbfilename", "PORT.rdb", *options
    )
