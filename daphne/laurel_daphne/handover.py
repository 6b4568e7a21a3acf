"""The handover: a successor takes over the listening sockets, and is ready before its predecessor begins to drain.

systemd gives a socket to one service, and to the next one only when that has ended; whoever connects in between waits. Here both
processes live in one unit and listen on one socket for a moment, so that nobody waits, and a successor that does not start changes nothing.
"""

import asyncio
import fcntl
import os
import sys

from laurel_daphne.logs import logger

READY_FD = "LAUREL_READY_FD"  # the successor's way to say that it listens
FIRST_FD = 3  # where systemd's protocol has the first inherited socket
ABOVE = 64  # copies are made above any descriptor that the successor is given


class Refused(Exception):
    """No successor took over; the reason is the message."""


def being_succeeded() -> bool:
    """Whether this process is a successor whose predecessor still serves."""
    return READY_FD in os.environ


def tell_predecessor():
    """Says that we listen. Returns whether there was anybody to tell."""
    descriptor = os.environ.pop(READY_FD, None)
    if descriptor is None:
        return False
    os.write(int(descriptor), b"1")
    os.close(int(descriptor))
    return True


def environment(sockets, environ):
    """The successor's: systemd's protocol for the sockets, and the pipe behind them."""
    ours = {name: value for name, value in environ.items() if name not in ("LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_PID")}
    return ours | {
        "LISTEN_FDS": str(sockets),
        "LISTEN_FDNAMES": ":".join(["daphne"] * sockets),
        READY_FD: str(FIRST_FD + sockets),
    }


def spawn(descriptors, folder):
    """Starts this command line again in `folder`, by the same paths: a link in them that has moved leads to another release.

    Returns its process id and the descriptor that becomes readable when it listens, or when it has ended.
    """
    reader, writer = os.pipe()
    copies = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, ABOVE) for descriptor in [*descriptors, writer]]
    os.close(writer)
    try:
        pid = os.posix_spawn(
            "/bin/sh",
            # The protocol wants the process's own id.
            ["sh", "-c", 'cd "$0" || exit; LISTEN_PID=$$; export LISTEN_PID; exec "$@"', folder, *sys.orig_argv],
            environment(len(descriptors), os.environ),
            file_actions=[(os.POSIX_SPAWN_DUP2, copy, FIRST_FD + number) for number, copy in enumerate(copies)],
        )
    finally:
        for copy in copies:
            os.close(copy)
    return pid, reader


async def hand_over(endpoints, ports, folder, seconds):
    """Starts a successor on the sockets of `ports` and returns its process id when it listens. Raises Refused."""
    if not all(text.startswith("systemd:") for text in endpoints):
        raise Refused("our sockets are our own; only sockets that systemd passed can be shared with a successor")
    pid, reader = spawn([port.socket.fileno() for port in ports], folder)
    loop = asyncio.get_running_loop()
    heard = loop.create_future()
    loop.add_reader(reader, lambda: heard.done() or heard.set_result(os.read(reader, 1)))
    try:
        async with asyncio.timeout(seconds):
            said = await heard
    except TimeoutError:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        raise Refused(f"the successor {pid} did not listen within {seconds:g} s and was ended") from None
    finally:
        loop.remove_reader(reader)
        os.close(reader)
    if not said:
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        raise Refused(f"the successor {pid} ended with code {code} before it listened")
    logger.info("successor %d listens", pid)
    return pid
