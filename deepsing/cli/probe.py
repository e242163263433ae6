"""deepsing probe: what a song is, and what its story would cost."""

import argparse
import json

from deepsing.cli.composer import add_arguments as add_composer_arguments
from deepsing.cli.composer import ask
from deepsing.cli.interrupts import run_to_end
from deepsing.cli.progress import show_progress
from deepsing.client import Client, StoryOptions
from deepsing.client.song import SongSource
from deepsing.client.story import warning_facts
from deepsing.v1.composer_pb2 import ProbeResponse

__all__ = ["add_arguments", "probe", "EXAMPLES"]

EXAMPLES = """examples:
  deepsing probe song.mp3
  deepsing probe song.mp3 --json --target 127.0.0.1:50051
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what `probe` takes."""
    parser.set_defaults(run=probe)
    parser.add_argument("song", metavar="SONG", help="an audio file: mp3, m4a, flac, ogg, wav, …")
    parser.add_argument("--fps", metavar="RATE", help="frames a second of the story (default: 24)")
    parser.add_argument("--start", type=float, default=0.0, metavar="SECONDS", help="begin there in the song")
    parser.add_argument("--duration", type=float, metavar="SECONDS", help="so much of the song (default: to its end)")
    add_composer_arguments(parser)


def probe(arguments: argparse.Namespace) -> int:
    """Prints the facts of a song."""
    options = StoryOptions(fps=arguments.fps, start_s=arguments.start, duration_s=arguments.duration)
    options.to_config()
    SongSource(arguments.song)
    return run_to_end(_probe(arguments, options))


async def _probe(arguments: argparse.Namespace, options: StoryOptions) -> int:
    with show_progress(quiet=arguments.json) as report:

        async def probe_song(client: Client) -> ProbeResponse:
            report("listening")
            return await client.probe(arguments.song, options)

        answer = await ask(probe_song, arguments=arguments, report=report)
    facts = _facts(arguments.song, answer)
    print(json.dumps(facts) if arguments.json else _format_facts(facts))
    return 0


def _facts(song: str, answer: ProbeResponse) -> dict[str, object]:
    found = answer.song
    return {
        "song": song,
        "duration_s": found.duration_us / 1e6,
        "sample_count": found.sample_count,
        "sample_rate_hz": found.sample_rate_hz,
        "channel_count": found.channel_count,
        "codec": found.codec,
        "container": found.container,
        "frames": answer.frame_count,
        "generator_time_s": answer.generator_time_us / 1e6,
        "song_digest": answer.song_digest,
        "warnings": [warning_facts(warning) for warning in found.warnings],
    }


def _format_facts(facts: dict[str, object]) -> str:
    width = max(map(len, facts))
    values = {**facts, "warnings": "none"}
    warnings = facts["warnings"]
    if isinstance(warnings, list) and warnings:
        values["warnings"] = "; ".join(warning["message"] for warning in warnings)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in values.items())
