"""Reads metrics as Prometheus would."""

from prometheus_client import REGISTRY

from deepsing.telemetry.metrics import enable

__all__ = ["MetricDelta"]


class MetricDelta:
    """What has been counted since this was made; tests of one process share its metrics."""

    def __init__(self) -> None:
        enable()
        self._before = self._samples()

    def __call__(self, name: str, **labels: str) -> float:
        key = (name, tuple(sorted(labels.items())))
        return self._samples()[key] - self._before.get(key, 0.0)

    @staticmethod
    def _samples() -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in REGISTRY.collect()
            for sample in family.samples
        }
