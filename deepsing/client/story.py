"""The result of a rendered story: its files, and the messages of its start and end."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deepsing.v1.composer_pb2 import Achievement, Agreement, SessionEnd, SessionStarted
from deepsing.v1.sentiment_pb2 import SongWarning, SongWarningKind

__all__ = ["Story", "achievement_facts", "agreement_facts", "warning_facts"]

SURE_TEMPO = 0.5  # certainty from which a story has one tempo


@dataclass(frozen=True)
class Story:
    """A rendered story."""

    video: Path
    manifest: Path
    contact_sheet: Path
    curve: Path
    started: SessionStarted
    end: SessionEnd
    elapsed_s: float  # from the call until all files were in place

    @property
    def duration_s(self) -> float:
        """Length of the story, seconds."""
        return self.end.duration_us / 1e6

    @property
    def sections(self) -> tuple[str, ...]:
        """The section of each passage of the music, in letters: A B A C; equal letters sound alike."""
        return tuple(self.end.sections)

    @property
    def beats_per_minute(self) -> float:
        """Tempo of most beats; 0 if none are heard, or if no tempo is kept."""
        tempo = self.end.tempo
        return tempo.beats_per_minute if tempo.certainty >= SURE_TEMPO else 0.0

    @property
    def realtime_factor(self) -> float:
        """Seconds of story per second of work."""
        return self.duration_s / self.elapsed_s if self.elapsed_s else 0.0

    def to_json(self) -> dict[str, object]:
        """Returns all of it as plain values for `json.dumps`."""
        started, end = self.started, self.end
        return {
            "video": str(self.video),
            "manifest": str(self.manifest),
            "contact_sheet": str(self.contact_sheet),
            "curve": str(self.curve),
            "frames": end.frame_count,
            "duration_s": self.duration_s,
            "size": f"{started.size.width_px}x{started.size.height_px}",
            "fps": f"{started.frame_rate.numerator}/{started.frame_rate.denominator}",
            "sections": list(self.sections),
            "beats_per_minute": round(self.beats_per_minute, 2) or None,
            "agreement": {"arousal": agreement_facts(end.arousal), "valence": agreement_facts(end.valence)},
            "achieved": achievement_facts(end.achieved) if end.HasField("achieved") else None,
            "flashes_per_second": end.flashes_per_second,
            "warnings": [warning_facts(warning) for warning in end.song.warnings],
            "story_warnings": list(end.warnings),
            "story_digest": started.story_digest,
            "song_digest": end.song_digest,
            "frames_digest": end.frames_digest,
            "digests": dict(end.digests or started.digests),
            "elapsed_s": round(self.elapsed_s, 3),
            "realtime_factor": round(self.realtime_factor, 3),
        }


def warning_facts(warning: SongWarning) -> Mapping[str, str]:
    """Returns a warning as plain values: its kind as the contract spells it, and its sentence."""
    known = warning.kind in SongWarningKind.values()
    kind = SongWarningKind.Name(warning.kind).removeprefix("SONG_WARNING_KIND_") if known else str(warning.kind)
    return {"kind": kind, "message": warning.message}


def agreement_facts(agreement: Agreement) -> dict[str, float]:
    """Returns an agreement as plain values; n is the number of pairs."""
    rounded = {"r": round(agreement.r, 4), "ccc": round(agreement.ccc, 4), "rmse": round(agreement.rmse, 4)}
    return {**rounded, "n": agreement.n}


def achievement_facts(achieved: Achievement) -> dict[str, object]:
    """Returns the judge's ratings as plain values; `ceiling` is its own agreement with people on photos."""
    judge = achieved.judge
    ceiling = {"arousal": judge.arousal, "valence": judge.valence}
    return {
        "arousal": agreement_facts(achieved.arousal),
        "valence": agreement_facts(achieved.valence),
        "ceiling": {name: {"r": round(one.r, 4), "n": one.n} for name, one in ceiling.items()},
        "judge": judge.digest,
        "missed": achieved.missed_count,
    }
