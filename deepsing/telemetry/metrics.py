"""Counters, gauges and histograms, which do nothing until `enable`; then the Prometheus client keeps them.

All values of a label are declared with it: so callers cannot create series without end, and each series exists from
the start, at zero. The client is imported by `enable` and not before: that takes 0.05 s, and BentoML has to import it
first.
"""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from deepsing.telemetry.ids import trace_id

__all__ = ["Counter", "Gauge", "Histogram", "enable", "is_enabled"]

OTHER = "other"  # in the place of a label's value that was not declared
DECLARED: "dict[str, Metric]" = {}  # all metrics of the modules that are loaded, by name
_families: dict[str, Any] = {}  # Prometheus' own, by name
_enabled = False


class Metric:
    """A named family of numbers.

    Args:
        name: as Prometheus shows it, without the _total of counters.
        text: what it counts, and in which unit.
        labels: each with all its values.
        start: label values of the series that exist from the start; None: all combinations.
    """

    kind = ""

    def __init__(
        self,
        name: str,
        text: str,
        labels: Mapping[str, Sequence[str]] | None = None,
        *,
        start: Iterable[tuple[str, ...]] | None = None,
    ) -> None:
        self.name, self.text, self.labels = name, text, dict(labels or {})
        self.start = list(itertools.product(*self.labels.values()) if start is None else start)
        self._known = [frozenset(values) for values in self.labels.values()]
        self._family: Any = None
        self._series: dict[tuple[str, ...], Any] = {}
        DECLARED[name] = self
        if _enabled:
            self.bind()

    def bind(self) -> None:
        """Creates the series; what was counted before is not included."""
        import prometheus_client

        if self.name not in _families:
            make = getattr(prometheus_client, self.kind)
            _families[self.name] = make(self.name, self.text, tuple(self.labels), **self._options())
        self._family = _families[self.name]
        for values in self.start:
            self._get_series(values)

    def _options(self) -> dict[str, Any]:
        return {}

    def _get_series(self, values: tuple[str, ...]) -> Any:
        """Returns the series of some label values."""
        series = self._series.get(values)
        if series is None:
            kept = tuple(value if value in known else OTHER for value, known in zip(values, self._known, strict=True))
            series = self._series[kept] = self._family.labels(*kept) if kept else self._family
        return series


class Counter(Metric):
    """A number that only grows."""

    kind = "Counter"

    def add(self, amount: float = 1.0, *values: str) -> None:
        """Adds `amount` >= 0 to the series of the labels' values."""
        if self._family is not None:
            self._get_series(values).inc(amount)


class Gauge(Metric):
    """A number that goes up and down."""

    kind = "Gauge"

    def add(self, amount: float, *values: str) -> None:
        """Adds `amount`, which may be less than 0."""
        if self._family is not None:
            self._get_series(values).inc(amount)

    def set(self, number: float, *values: str) -> None:
        """Sets it to `number`."""
        if self._family is not None:
            self._get_series(values).set(number)

    def _options(self) -> dict[str, Any]:
        return {"multiprocess_mode": "livesum"}  # under BentoML: the sum over running processes


class Histogram(Metric):
    """How often a number fell into each of some ranges.

    Args:
        name: with its unit, e.g. "…_seconds".
        text: what is measured.
        buckets: upper ends of the ranges, rising.
        labels: each with all its values.
        start: as of a Metric.
    """

    kind = "Histogram"

    def __init__(
        self,
        name: str,
        text: str,
        buckets: Sequence[float],
        labels: Mapping[str, Sequence[str]] | None = None,
        *,
        start: Iterable[tuple[str, ...]] | None = None,
    ) -> None:
        self.buckets = tuple(buckets)
        super().__init__(name, text, labels, start=start)

    def observe(self, number: float, *values: str) -> None:
        """Adds a measurement, with the id of the current trace as its exemplar; NaN is ignored."""
        if self._family is not None and not math.isnan(number):
            trace = trace_id()
            self._get_series(values).observe(number, {"trace_id": trace} if trace else None)

    def _options(self) -> dict[str, Any]:
        return {"buckets": self.buckets}


def is_enabled() -> bool:
    """Whether the metrics count."""
    return _enabled


def enable() -> None:
    """Makes all metrics count from now on, also those declared later."""
    global _enabled
    import prometheus_client

    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    _enabled = True
    for metric in DECLARED.values():
        metric.bind()
