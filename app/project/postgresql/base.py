"""Django's PostgreSQL, for which nobody waits twice: who finds it away is told at once by those who waited before."""

import time

from django.db.backends.postgresql import base
from psycopg_pool import PoolTimeout

AWAY_SECONDS = 0.05  # enough for a pool that has a connection, and for an order to make one


class AllInUse(PoolTimeout):
    """Others were given a connection while this one waited: the database answers, and this process has too much to do."""


class DatabaseWrapper(base.DatabaseWrapper):
    """Waits for a connection of the pool, but only until the first in this process has waited in vain.

    From then on each request asks the pool and does not wait for it; the pool connects meanwhile, and who gets a connection ends this.
    Otherwise the workers of a host that is cut off would be held by their waiting, and those behind them wait for a worker as well.
    """

    def get_new_connection(self, conn_params):
        pool, asked = self.pool, time.monotonic()
        if not pool:
            return super().get_new_connection(conn_params)
        try:
            connection = super().get_new_connection(conn_params)
        except PoolTimeout as timeout:
            if getattr(pool, "given", 0.0) >= asked:  # by others, meanwhile
                raise AllInUse(*timeout.args) from timeout
            pool.timeout = AWAY_SECONDS
            raise
        pool.given, pool.timeout = time.monotonic(), self.settings_dict["OPTIONS"]["pool"]["timeout"]
        return connection
