"""Limits how many requests of a worker pool may wait at a time: each of them holds a whole worker."""

import fcntl
import os
import select
import tempfile
from contextlib import contextmanager

from django.conf import settings


@contextmanager
def waiting_slot():
    """Yield whether one of WAITING_REQUESTS_MAX places of this worker pool was free; it is held meanwhile.

    A place is a lock on a file. The kernel gives it back when the worker ends, however that happens.
    """
    held = _take()
    try:
        yield held is not None
    finally:
        if held is not None:
            os.close(held)


def _take():
    # The workers of a pool have one parent: the server's master process.
    folder = os.path.join(tempfile.gettempdir(), f"waiting-{os.getuid()}-{os.getppid()}")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    for number in range(settings.WAITING_REQUESTS_MAX):
        place = os.open(os.path.join(folder, str(number)), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(place)
        else:
            return place
    return None


def client_is_gone():
    """Return whether uWSGI's client has closed its connection; False under a server that does not tell."""
    try:
        import uwsgi  # exists inside uWSGI only
    except ImportError:
        return False
    poll = select.poll()
    poll.register(uwsgi.connection_fd(), select.POLLRDHUP)
    return bool(poll.poll(0))
