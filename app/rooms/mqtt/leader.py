"""Which of several processes speaks with the broker: the one that holds a lock of the database.

The lock belongs to a connection of its own. PostgreSQL closes that connection, and frees the lock, when it has heard
nothing for LEASE_SECONDS: a process that hangs or a host that vanished does not keep it.
"""

import asyncio
import logging
from contextlib import asynccontextmanager

import psycopg
from django.db import connections

logger = logging.getLogger(__name__)

LOCK = 5_221_883  # any number, the same in all processes
LEASE_SECONDS = 10
BEAT_SECONDS = 3  # three may be missed
TRY_SECONDS = 1


@asynccontextmanager
async def leadership():
    """Wait until this process leads; give a future that ends when it no longer does."""
    connection = await _acquire()
    lost = asyncio.create_task(_hold(connection))
    try:
        yield lost
    finally:
        lost.cancel()
        await connection.close()


async def _acquire():
    waiting = False
    while True:
        connection = None
        try:
            connection = await _connect()
            while not await _ask(connection, f"SELECT pg_try_advisory_lock({LOCK})"):
                if not waiting:
                    logger.info("Another process leads the MQTT bridge; standing by")
                    waiting = True
                await asyncio.sleep(TRY_SECONDS)
            logger.info("Leading the MQTT bridge")
            return connection
        except (psycopg.Error, OSError, TimeoutError) as error:
            logger.warning("No lock for the MQTT bridge: %s: %s", type(error).__name__, error)
            if connection is not None:
                await connection.close()
            await asyncio.sleep(TRY_SECONDS)
        except BaseException:
            if connection is not None:
                await connection.close()
            raise


async def _connect():
    given = connections["default"].get_connection_params()
    parameters = {name: value for name, value in given.items() if name not in ("context", "cursor_factory")}
    connection = await psycopg.AsyncConnection.connect(**parameters, autocommit=True)
    await connection.execute(f"SET idle_session_timeout = '{LEASE_SECONDS}s'")
    return connection


async def _hold(connection):
    """Return when the lock is lost."""
    try:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            await _ask(connection, "SELECT 1")
    except (psycopg.Error, OSError, TimeoutError) as error:
        logger.warning("The lock of the MQTT bridge is lost: %s: %s", type(error).__name__, error)


async def _ask(connection, query):
    async with asyncio.timeout(BEAT_SECONDS):
        cursor = await connection.execute(query)
        return (await cursor.fetchone())[0]
