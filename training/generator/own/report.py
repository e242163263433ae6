"""What became of a folder of pictures, said to people and to programs."""

import sys
from dataclasses import dataclass, field
from pathlib import Path

from training.generator.own.folder import LeftOut
from training.generator.own.tables import UsedPicture, describe_ratings, name_rater

__all__ = ["EngineReport", "format_summary", "report_to_json", "say", "tell_report"]

SHOWN = 5  # names of enlarged pictures in a line


@dataclass
class EngineReport:
    """What became of a folder of pictures."""

    path: Path  # of the engine
    used: list[UsedPicture] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    enlarged: dict[str, float] = field(default_factory=dict)  # file → how many times
    notes: list[str] = field(default_factory=list)
    psnr_db: dict[str, float] = field(default_factory=dict)


def say(line: str) -> None:
    """Prints a line on standard error."""
    sys.stderr.write(f"deepsing: {line}\n")


def tell_report(report: EngineReport) -> None:
    """Says what was left out or changed, a line each, on standard error."""
    for one in report.left_out:
        say(f"left out: {one.file} {one.why}")
    for note in report.notes:
        say(note)
    if report.enlarged:
        files = sorted(report.enlarged, key=lambda file: -report.enlarged[file])
        more = f" and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
        say(
            f"smaller than 640 x 512 pixels and enlarged, up to {max(report.enlarged.values()):g} times: "
            f"{', '.join(files[:SHOWN])}{more}"
        )


def report_to_json(report: EngineReport, name: str, elapsed_s: float) -> dict[str, object]:
    """The report for programs."""
    return {
        "name": name,
        "engine": str(report.path),
        "reused": False,
        "rated_by": name_rater(report.used),
        "concepts": [{"name": one.found.name, "file": one.found.file, **vars(one.rating)} for one in report.used],
        "left_out": [vars(one) for one in report.left_out],
        "enlarged": report.enlarged,
        "notes": report.notes,
        "psnr_db": report.psnr_db,
        "elapsed_s": elapsed_s,
    }


def format_summary(report: EngineReport, name: str, models: str, elapsed_s: float) -> str:
    """The report for people; `models` is the folder of engines where it is not the usual one, else empty."""
    elsewhere = f"DEEPSING_MODELS_DIR={models} " if models else ""
    return (
        f"{report.path}: an engine of {len(report.used)} concepts, in {elapsed_s:g} s\n"
        f"rated: {describe_ratings(report.used)}; {name}_pictures.csv lists them\n"
        f"try it: {elsewhere}deepsing render SONG story.mp4 --engine {name}\n"
    )
