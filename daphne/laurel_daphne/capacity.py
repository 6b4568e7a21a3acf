"""Counts what channels_redis drops over capacity. It logs the one at INFO and is silent about the other:
https://github.com/django/channels_redis/issues/212.
"""

import logging
import sys

from laurel_daphne import metrics


class GroupDrops(logging.Filter):
    """Counts "N of M channels over capacity in group G", and lets through what the application wanted to see."""

    def __init__(self, level):
        super().__init__()
        self.level = level

    def filter(self, record):
        if isinstance(record.msg, str) and "over capacity" in record.msg and record.args:
            metrics.over_capacity_drops.labels("group").inc(int(record.args[0]))
        return record.levelno >= self.level


def watch():
    """Call after the application is loaded. Does nothing if it does not use the core layer."""
    core = sys.modules.get("channels_redis.core")
    if core is None:
        return
    core.logger.addFilter(GroupDrops(core.logger.getEffectiveLevel()))
    core.logger.setLevel(min(core.logger.getEffectiveLevel(), logging.INFO))
    put_nowait = core.BoundedQueue.put_nowait

    def counted(queue, item):
        if queue.full():
            metrics.over_capacity_drops.labels("buffer").inc()
        return put_nowait(queue, item)

    core.BoundedQueue.put_nowait = counted
