"""Asks the database and Redis whether they answer, on connections of their own and with short patience.

A connection of the pool would measure the pool's queue, and wait for its time limit.
"""

import logging

import psycopg
import redis
from django.conf import settings
from django.db import connection

from project import layers

logger = logging.getLogger(__name__)

SECONDS = 2  # per part; psycopg allows no less


def database_reason():
    """Return None if the database answers, else why not."""
    parameters = connection.get_connection_params()
    parameters |= {"connect_timeout": SECONDS, "options": f"-c statement_timeout={SECONDS * 1000}"}
    parameters.pop("pool", None)
    try:
        with psycopg.connect(**parameters, autocommit=True) as probe:
            probe.execute("SELECT 1")
    except psycopg.Error as error:
        return _reason("database", error)
    return None


def redis_reason():
    """Return None if every Redis answers, else why not."""
    if settings.CHANNEL_LAYER == "memory":
        return None
    for url in settings.REDIS_URLS:
        client = layers.client(url, socket_timeout=SECONDS, retry=None)
        try:
            client.ping()
        except redis.RedisError as error:
            return _reason("redis", error)
        finally:
            client.close()
    return None


def _reason(part, error):
    # Whoever asks may be anybody: the kind of error for them, addresses and names for the log.
    logger.warning("Not ready: %s does not answer: %s", part, str(error).strip())
    return f"does not answer ({type(error).__name__})"
