"""HDR histograms of durations: microseconds, three significant figures, mergeable without loss."""

from hdrh.histogram import HdrHistogram

LOWEST_US = 1
HIGHEST_US = 120_000_000
SIGNIFICANT_FIGURES = 3


def empty() -> HdrHistogram:
    """A histogram from 1 µs to 120 s."""
    return HdrHistogram(LOWEST_US, HIGHEST_US, SIGNIFICANT_FIGURES)


def record(histogram: HdrHistogram, seconds: float) -> None:
    """Add one duration. What lies outside 1 µs … 120 s is recorded as that end of the range."""
    histogram.record_value(min(max(int(seconds * 1e6), LOWEST_US), HIGHEST_US))


def encode(histogram: HdrHistogram) -> str:
    """The histogram as HdrHistogram V2 base64, readable by every HdrHistogram library."""
    return histogram.encode().decode("ascii")


def merge(encoded: list[str]) -> HdrHistogram:
    """Add up histograms written by `encode`. Percentiles of the sum are exact to the bucket width."""
    total = empty()
    for text in encoded:
        total.decode_and_add(text)
    return total


def percentiles_ms(histogram: HdrHistogram, wanted: tuple[float, ...] = (50, 95, 99)) -> dict[str, float | None]:
    """`{"p50": …, "p95": …, "p99": …, "max": …}` in milliseconds; None in an empty histogram."""
    if not histogram.total_count:
        return {f"p{q:g}": None for q in wanted} | {"max": None}
    values = {f"p{q:g}": histogram.get_value_at_percentile(q) / 1e3 for q in wanted}
    return values | {"max": histogram.get_max_value() / 1e3}
