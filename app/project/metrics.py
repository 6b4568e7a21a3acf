"""What Prometheus is told by whoever serves this process; Daphne's launcher does (docs/runbooks)."""

from prometheus_client import Histogram

feed_delay_seconds = Histogram(
    "feed_delay_seconds",
    "From the moment a message was stored until this process had read it for its readers",
    buckets=[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
)
