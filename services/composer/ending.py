"""Sums a story up: its last message, and the manifest's facts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf.json_format import MessageToDict

from deepsing.v1 import audio_sentiment_pb2, sentiment_pb2
from deepsing.v1 import composer_pb2 as pb
from services.composer.agreement import Agreement, RunningAgreement
from services.composer.palette import Palette
from services.composer.plan import StoryPlan
from services.composer.reader import Reader
from services.composer.readings import Reading, agreements

__all__ = ["manifest_facts", "session_end"]


def session_end(
    plan: StoryPlan,
    palette: Palette,
    summary: audio_sentiment_pb2.AnalyzeSummary | None,
    agreement: tuple[RunningAgreement, RunningAgreement],
    reader: Reader,
    frame_count: int,
) -> pb.SessionEnd:
    """The last message, but for digests of bytes and counts of drops."""
    end = pb.SessionEnd(frame_count=frame_count, duration_us=round(frame_count / plan.rate * 1_000_000))
    end.digests.update(palette.digests)
    if summary is not None:
        end.song.CopyFrom(summary.song)
    end.arousal.CopyFrom(_message(agreement[0].result()))
    end.valence.CopyFrom(_message(agreement[1].result()))
    if reader.readings:
        arousal, valence = map(_message, agreements(reader.readings))
        judged = pb.Achievement(arousal=arousal, valence=valence, judge=reader.judge, missed_count=reader.missed)
        end.achieved.CopyFrom(judged)
    end.warnings.extend(reader.warnings)
    return end


def _message(agreement: Agreement) -> pb.Agreement:
    return pb.Agreement(r=agreement.r, ccc=agreement.ccc, rmse=agreement.rmse, n=agreement.n)


def manifest_facts(
    plan: StoryPlan, size: sentiment_pb2.Size, end: pb.SessionEnd, readings: Sequence[Reading], session_id: str
) -> dict[str, Any]:
    """Everything of the manifest that is not a frame; with the song it is enough to tell the story again."""
    whole = MessageToDict(end, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    whole["digests"] = dict(sorted(whole["digests"].items()))  # a map has no order of its own
    return {
        "manifest_version": 1,
        "session_id": session_id,
        "title": plan.title,
        "parameters": {
            "seed": plan.seed,
            "frame_rate": f"{plan.rate.numerator}/{plan.rate.denominator}",
            "size": f"{size.width_px}x{size.height_px}",
            "engine": plan.engine,
            "translator": plan.translator,
            "style": plan.style,
            "style_strength": plan.style_strength,
            "sentiment_mode": plan.mode,
            "truncation": plan.truncation,
            "start_us": plan.start_us,
            "duration_us": plan.duration_us,
        },
        **whole,
        "readings": [
            {
                "seq": reading.shown.seq,
                "time_s": round(reading.shown.time_s, 6),
                "target": _rounded(reading.shown.target),
                "expected": _rounded(reading.shown.expected),
                "achieved": _rounded(reading.achieved),
            }
            for reading in readings
        ],
    }


def _rounded(pair: tuple[float, float]) -> list[float]:
    return [round(value, 5) for value in pair]
