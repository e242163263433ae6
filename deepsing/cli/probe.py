"""deepsing probe: prints the facts of a song and what its story would cost."""

import argparse
import dataclasses
import json
import time
from contextlib import aclosing
from typing import Any

from deepsing.cli.composer import add_arguments as add_composer_arguments
from deepsing.cli.composer import ask
from deepsing.cli.interrupts import run_to_end
from deepsing.cli.progress import show_progress
from deepsing.cli.story_options import add_story_options, story_options
from deepsing.cli.values import parse_file_name
from deepsing.client import Client, StoryOptions
from deepsing.client.song import SongSource
from deepsing.client.story import warning_facts
from deepsing.v1.composer_pb2 import Frame, ProbeResponse

__all__ = ["add_arguments", "probe", "EXAMPLES"]

EXAMPLES = """examples:
  deepsing probe song.mp3
  deepsing probe song.mp3 --size 1280x720 --style auto --fps 12
  deepsing probe song.mp3 --no-trial --json --target 127.0.0.1:50051

The estimate is measured: a few frames of the story are painted with the same options and thrown away. With --no-trial
it is what the composer knows from stories painted before, in whatever size and style, or "not known yet". So it is for
a song that comes through a pipe, which can be read once only.

exit status: 0 done, 1 a service failed, 2 a mistake in the request, 130 Ctrl-C
"""
TRIAL_FRAMES = 48  # some batches of the generator, the first of which also warms it up
MIN_PART_S = 0.5  # of the contract
SAME_BATCH = 0.05  # of the trial's time: frames this soon after the first came with it


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `probe`."""
    parser.set_defaults(run=probe)
    parser.add_argument("song", type=parse_file_name, metavar="SONG", help="an audio file: mp3, m4a, flac, ogg, wav, …")
    add_story_options(parser)
    parser.add_argument("--no-trial", action="store_true", help="paint no frames to measure how fast it goes")
    add_composer_arguments(parser)


def probe(arguments: argparse.Namespace) -> int:
    """Prints the facts of a song and an estimate of its story's cost."""
    options = story_options(arguments)
    options.to_config()
    if not SongSource(arguments.song).replayable:
        arguments.no_trial = True  # a pipe can be read once only, and the trial needs the song as well
    return run_to_end(_probe(arguments, options))


async def _probe(arguments: argparse.Namespace, options: StoryOptions) -> int:
    with show_progress(quiet=arguments.json) as report:

        async def probe_song(client: Client) -> dict[str, Any]:
            report("reading the song")
            answer = await client.probe(arguments.song, options)
            frame_s, measured = None, 0
            if not arguments.no_trial:
                report("painting a few frames to see how fast it goes")
                frame_s, measured = await _time_frames(client, arguments.song, options, answer)
            return _collect_facts(arguments.song, answer, frame_s, measured)

        facts = await ask(probe_song, arguments=arguments, report=report)
    print(json.dumps(facts) if arguments.json else _format_facts(facts))
    return 0


async def _time_frames(
    client: Client, song: str, options: StoryOptions, answer: ProbeResponse
) -> tuple[float | None, int]:
    """Paints the first frames of a story.

    Returns:
        Seconds a frame, None where too few came to say, and how many frames came.
    """
    rate = options.to_config().frame_rate
    fps = rate.numerator / rate.denominator if rate.denominator else 24.0
    whole_s = answer.frame_count / fps
    part_s = max(MIN_PART_S, min(TRIAL_FRAMES / fps, whole_s))
    trial = dataclasses.replace(
        options,
        duration_s=part_s if part_s < whole_s else options.duration_s,
        mode="absolute",  # another scale of the feelings, at the same cost
        images="jpeg",  # with "none" no frames would come to be timed
        files=("video",),
    )
    arrivals_s: list[float] = []
    async with aclosing(client.compose(song, trial)) as events:
        async for event in events:
            if isinstance(event, Frame):
                arrivals_s.append(time.monotonic())
    return _seconds_per_frame(arrivals_s), len(arrivals_s)


def _seconds_per_frame(arrivals_s: list[float]) -> float | None:
    """Of frames that come in batches: the first batch ends the warm-up, and the others are counted from there."""
    span_s = arrivals_s[-1] - arrivals_s[0] if arrivals_s else 0.0
    later = sum(at_s > arrivals_s[0] + SAME_BATCH * span_s for at_s in arrivals_s)
    return span_s / later if later and span_s > 0 else None


def _collect_facts(song: str, answer: ProbeResponse, frame_s: float | None, measured: int) -> dict[str, Any]:
    found = answer.song
    known_s = answer.generator_time_us / 1e6 or None  # the contract's 0 is "not yet measured"
    return {
        "song": song,
        "duration_s": found.duration_us / 1e6,
        "sample_count": found.sample_count,
        "sample_rate_hz": found.sample_rate_hz,
        "channel_count": found.channel_count,
        "codec": found.codec,
        "container": found.container,
        "frames": answer.frame_count,
        "generator_time_s": known_s,
        "render_time_s": None if frame_s is None else round(frame_s * answer.frame_count, 1),
        "measured_frames": measured,
        "song_digest": answer.song_digest,
        "warnings": [warning_facts(warning) for warning in found.warnings],
    }


def _format_facts(facts: dict[str, Any]) -> str:
    values = {name: value for name, value in facts.items() if name not in ("measured_frames", "generator_time_s")}
    values["render_time_s"] = _format_estimate(facts)
    values["warnings"] = "; ".join(warning["message"] for warning in facts["warnings"]) or "none"
    width = max(map(len, values))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in values.items())


def _format_estimate(facts: dict[str, Any]) -> str:
    if facts["render_time_s"] is not None:
        return f"about {facts['render_time_s']:.0f} (measured on {facts['measured_frames']} frames)"
    if facts["generator_time_s"] is not None:
        return f"about {facts['generator_time_s']:.0f} of the generator (at its latest speed, with whatever options)"
    return "not known yet (nothing was painted)"
