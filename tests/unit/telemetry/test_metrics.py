import subprocess
import sys

import pytest
from prometheus_client import REGISTRY

from deepsing.telemetry.ids import traceparent
from deepsing.telemetry.metrics import Counter, Gauge, Histogram, enable
from tests.unit.telemetry.counted import MetricDelta

QUIET = """
import sys
from deepsing.telemetry.metrics import Counter, Gauge, Histogram
Counter("a", "…").add()
Gauge("b", "…", {"x": ("y",)}).set(3, "y")
Histogram("c_seconds", "…", (1, 2)).observe(1)
assert "prometheus_client" not in sys.modules
"""


def test_meters_load_and_count_nothing_until_they_are_enabled() -> None:
    answer = subprocess.run([sys.executable, "-c", QUIET], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr


def test_a_series_is_there_at_zero_before_anything_is_counted() -> None:
    enable()
    Counter("test_begun", "…", {"way": ("in", "out")})
    assert REGISTRY.get_sample_value("test_begun_total", {"way": "in"}) == 0
    Counter("test_chosen", "…", {"way": ("in", "out")}, start=[("out",)])
    assert REGISTRY.get_sample_value("test_chosen_total", {"way": "in"}) is None


def test_a_value_that_was_not_declared_makes_no_series_of_its_own() -> None:
    delta = MetricDelta()
    counter = Counter("test_bounded", "…", {"reason": ("known",)})
    for number in range(100):
        counter.add(1, f"made up {number}")
    counter.add(2, "known")
    assert delta("test_bounded_total", reason="other") == 100
    assert delta("test_bounded_total", reason="known") == 2


def test_a_gauge_goes_up_and_down() -> None:
    delta = MetricDelta()
    gauge = Gauge("test_waiting", "…")
    gauge.add(5)
    gauge.add(-2)
    assert delta("test_waiting") == 3
    gauge.set(1)
    assert delta("test_waiting") == 1


def test_a_measurement_carries_its_trace_and_nan_is_none() -> None:
    enable()
    histogram = Histogram("test_r", "…", (0, 0.5, 1))
    token = traceparent.set("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    histogram.observe(0.4)
    histogram.observe(float("nan"))
    traceparent.reset(token)
    histogram.observe(-0.5)
    (family,) = (one for one in REGISTRY.collect() if one.name == "test_r")
    samples = {(sample.name, sample.labels.get("le")): sample for sample in family.samples}
    assert samples["test_r_count", None].value == 2
    assert samples["test_r_sum", None].value == pytest.approx(-0.1)
    assert samples["test_r_bucket", "0.5"].exemplar.labels == {"trace_id": "0af7651916cd43dd8448eb211c80319c"}
    assert samples["test_r_bucket", "0.0"].exemplar is None


def test_a_meter_that_is_declared_again_counts_on_in_the_same_series() -> None:
    delta = MetricDelta()
    for _ in range(2):
        Counter("test_again", "…").add()
    assert delta("test_again_total") == 2
