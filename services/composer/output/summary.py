"""Sums a story up: its last message, and the manifest's facts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf.json_format import MessageToDict

from deepsing.v1 import audio_sentiment_pb2, sentiment_pb2
from deepsing.v1 import composer_pb2 as pb
from services.composer.pipeline.capabilities import Capabilities
from services.composer.pipeline.judge import JudgeClient
from services.composer.session.config import StoryPlan
from services.composer.story.agreement import Agreement, RunningAgreement
from services.composer.story.judge_sampling import Judgement, agreements

__all__ = ["build_manifest_facts", "build_session_end"]


def build_session_end(
    plan: StoryPlan,
    capabilities: Capabilities,
    summary: audio_sentiment_pb2.AnalyzeSummary | None,
    agreement: tuple[RunningAgreement, RunningAgreement],
    judge_client: JudgeClient,
    frame_count: int,
) -> pb.SessionEnd:
    """The last message, but for digests of bytes and counts of drops."""
    end = pb.SessionEnd(frame_count=frame_count, duration_us=round(frame_count / plan.rate * 1_000_000))
    end.digests.update(capabilities.digests)
    if summary is not None:
        end.song.CopyFrom(summary.song)
    end.arousal.CopyFrom(_build_agreement(agreement[0].result()))
    end.valence.CopyFrom(_build_agreement(agreement[1].result()))
    if judge_client.judgements:
        arousal, valence = map(_build_agreement, agreements(judge_client.judgements))
        judged = pb.Achievement(
            arousal=arousal, valence=valence, judge=judge_client.judge, missed_count=judge_client.missed_count
        )
        end.achieved.CopyFrom(judged)
    end.warnings.extend(judge_client.warnings)
    return end


def _build_agreement(agreement: Agreement) -> pb.Agreement:
    return pb.Agreement(r=agreement.r, ccc=agreement.ccc, rmse=agreement.rmse, n=agreement.n)


def build_manifest_facts(
    plan: StoryPlan, size: sentiment_pb2.Size, end: pb.SessionEnd, judgements: Sequence[Judgement], session_id: str
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
                "seq": judgement.info.seq,
                "time_s": round(judgement.info.time_s, 6),
                "target": _round_pair(judgement.info.target),
                "expected": _round_pair(judgement.info.expected),
                "achieved": _round_pair(judgement.achieved),
            }
            for judgement in judgements
        ],
    }


def _round_pair(pair: tuple[float, float]) -> list[float]:
    return [round(value, 5) for value in pair]
