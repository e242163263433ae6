"""What one service's metrics say, in the few figures that a person asks for; for `deepsing top` and the page at /."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Scrape", "Summary", "summarize", "build_scrape"]

UNARY = {"grpc_type": "unary"}
Labels = dict[str, str]


@dataclass(frozen=True)
class Scrape:
    """All numbers of one service at one moment: by sample's name, (labels, number)."""

    at_s: float  # of any clock that does not jump
    samples: dict[str, list[tuple[Labels, float]]] = field(default_factory=dict)

    def total(self, name: str, **labels: str) -> float:
        """The sum of all series of a name that have these labels."""
        chosen = (number for own, number in self.samples.get(name, ()) if labels.items() <= own.items())
        return math.fsum(chosen)


@dataclass(frozen=True)
class Summary:
    """The figures; those that a service does not have, or that nothing has happened for, are None."""

    service: str
    serving: bool
    sessions_active: int | None
    sessions_pending: int | None
    queue: int | None  # jobs before the generator's device
    frames_per_s: float | None  # made by the composer, painted by the generator
    p50_s: float | None  # of the composer's first frames, of the others' unary calls
    p99_s: float | None
    errors: int  # refused or failed calls
    lag_p99_s: float | None  # of live frames
    dropped: int | None
    arousal_r: float | None  # mean of the stories that have ended, target against the judge's reading
    valence_r: float | None
    realtime: float | None  # seconds of song heard in a second of work


def build_scrape(families: Iterable[Any], at_s: float) -> Scrape:
    """Makes a scrape of what prometheus_client collects or parses."""
    samples: dict[str, list[tuple[Labels, float]]] = {}
    for family in families:
        for sample in family.samples:
            samples.setdefault(sample.name, []).append((sample.labels, sample.value))
    return Scrape(at_s, samples)


def summarize(now: Scrape, before: Scrape | None = None) -> Summary:
    """Sums up a scrape.

    Args:
        now: the scrape.
        before: an earlier one of the same process; rates and quantiles are then those of the time between, as far as
            anything happened in it. Without it rates are None.
    """
    before = before if before and before.total("process_start_time_seconds") == _start_time(now) else None
    service = next((labels["service"] for labels, _ in now.samples.get("deepsing_serving", ())), "")
    waits = ("deepsing_first_frame_seconds", {}) if service == "composer" else ("grpc_server_handling_seconds", UNARY)
    audio_s, compute_s = (now.total(f"deepsing_listening_{what}_seconds_total") for what in ("audio", "compute"))

    def round_total(name: str, **labels: str) -> int | None:
        return round(now.total(name, **labels)) if name in now.samples else None

    return Summary(
        service=service,
        serving=bool(now.total("deepsing_serving")),
        sessions_active=round_total("deepsing_sessions", state="active"),
        sessions_pending=round_total("deepsing_sessions", state="pending"),
        queue=round_total("deepsing_batch_queue_jobs"),
        frames_per_s=_rate(now, before, "deepsing_frames_made_total", "deepsing_batch_size_sum"),
        p50_s=_quantile(now, before, 0.5, *waits),
        p99_s=_quantile(now, before, 0.99, *waits),
        errors=round(now.total("deepsing_errors_total")),
        lag_p99_s=_quantile(now, before, 0.99, "deepsing_live_lag_seconds", {}),
        dropped=round_total("deepsing_frames_dropped_total"),
        arousal_r=_mean(now, "deepsing_story_r", dimension="arousal"),
        valence_r=_mean(now, "deepsing_story_r", dimension="valence"),
        realtime=audio_s / compute_s if compute_s else None,
    )


def _start_time(scrape: Scrape) -> float:
    return scrape.total("process_start_time_seconds")


def _rate(now: Scrape, before: Scrape | None, *names: str) -> float | None:
    name = next((name for name in names if name in now.samples), None)
    if name is None or before is None or now.at_s <= before.at_s:
        return None
    return (now.total(name) - before.total(name)) / (now.at_s - before.at_s)


def _mean(now: Scrape, name: str, **labels: str) -> float | None:
    count = now.total(f"{name}_count", **labels)
    return now.total(f"{name}_sum", **labels) / count if count else None


def _quantile(now: Scrape, before: Scrape | None, share: float, name: str, labels: Labels) -> float | None:
    """A quantile of a histogram, linear inside a bucket; what lies above the last finite bucket counts as its end."""
    ends = sorted({float(own["le"]) for own, _ in now.samples.get(f"{name}_bucket", ())})
    counts = [now.total(f"{name}_bucket", le=_bucket_label(now, name, end), **labels) for end in ends]
    earlier = [
        before.total(f"{name}_bucket", le=_bucket_label(now, name, end), **labels) if before else 0.0 for end in ends
    ]
    since = [count - old for count, old in zip(counts, earlier, strict=True)]
    counts = since if since and since[-1] > 0 else counts
    if not counts or not counts[-1]:
        return None
    wanted = share * counts[-1]
    place = next(place for place, count in enumerate(counts) if count >= wanted)
    low = ends[place - 1] if place else min(0.0, ends[0])
    if math.isinf(ends[place]):
        return low
    below = counts[place - 1] if place else 0.0
    return low + (ends[place] - low) * (wanted - below) / (counts[place] - below)


def _bucket_label(scrape: Scrape, name: str, end: float) -> str:
    """A bucket's end as the scrape spells it."""
    return next(own["le"] for own, _ in scrape.samples[f"{name}_bucket"] if float(own["le"]) == end)
