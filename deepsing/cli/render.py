"""deepsing render: turns a song into a story. deepsing again: makes a story once more from its manifest."""

import argparse
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from deepsing.cli.composer import add_arguments as add_composer_arguments
from deepsing.cli.composer import ask
from deepsing.cli.interrupts import run_to_end
from deepsing.cli.pictures import add_pictures, check_pictures, choose_engine
from deepsing.cli.progress import show_progress
from deepsing.cli.story_options import add_story_options, story_options
from deepsing.cli.storyboard_file import locate_faults
from deepsing.cli.values import parse_file_name
from deepsing.client import Client, Story, StoryOptions
from deepsing.client.files import story_paths
from deepsing.client.song import SongSource
from deepsing.client.storyboard import StoryboardKey
from deepsing.local.failures import FAILURE, USAGE, CommandError
from deepsing.v1 import sentiment_pb2
from deepsing.v1.composer_pb2 import SessionEnd

__all__ = [
    "AGAIN_EXAMPLES",
    "EXAMPLES",
    "add_again_arguments",
    "add_arguments",
    "again",
    "describe_agreement",
    "describe_mood",
    "describe_music",
    "render",
]

STYLE_PICTURES = "DEEPSING_GENERATOR_STYLE_PICTURES"
STYLE_TABLE = "styles.csv"
STYLE_NAMES = ("positive", "neutral", "negative")
STYLE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")

EXAMPLES = """examples:
  deepsing render song.mp3 story.mp4
  deepsing render song.mp3 preview.mp4 --fps 1
  deepsing render song.flac story.mp4 --fps 23.976 --size 9:16 --mode relative
  deepsing render song.ogg story.mp4 --start 30 --duration 20 --style auto --style-strength 0.4
  deepsing render song.mp3 story.mp4 --theme sea,storm --without "hidden beach" --mood darker --mood calmer=0.3
  deepsing render song.mp3 reel.mp4 --for reel --start 40 --duration 30
  deepsing render song.mp3 story.mp4 --style-pictures my-paintings/
  deepsing render song.mp3 story.mp4 --pictures holiday-photos/
  deepsing render song.mp3 story.mp4 --storyboard song.storyboard.toml
  deepsing render song.mp3 story.mp4 --target 127.0.0.1:50051 --json
  deepsing render -- -odd-name.mp3 story.mp4

Three more files are written beside story.mp4: story.json (the manifest), story.contact-sheet.png and story.curve.png.
Files of these names are replaced when the story is complete, not before.

exit status: 0 done, 1 a service failed, 2 a mistake in the request, 130 Ctrl-C
"""
AGAIN_EXAMPLES = """examples:
  deepsing again story.json song.mp3 again.mp4
  deepsing again story.json song.mp3 again.mp4 --target 127.0.0.1:50051 --json

story.json is the manifest that render writes beside a video; song.mp3 must be the same file as then. The frames are
the same bit for bit if the models are; if not, the command says which model differs, and the new story is kept.

exit status: 0 the same frames, 1 a service failed or the frames differ, 2 a mistake in the request, 130 Ctrl-C
"""
MIN_DURATION_S = 60.0  # a shorter story shows some six concepts or fewer, so few moments decide the correlation
EVERY_FRAME = 60.0  # pictures painted a second for stories of releases that had no film
MAX_SECTIONS = 24  # letters of passages in a summary
MIN_PAIRS = 30  # frames that were compared
DEGREES = (  # least correlation, and what is said of it
    (0.9, "follow the song's feeling closely"),
    (0.7, "follow the song's feeling"),
    (0.4, "follow the song's feeling loosely"),
    (-1.0, "hardly follow the song's feeling"),
)
RATERS = {
    sentiment_pb2.RATING_SOURCE_PEOPLE: "by people's ratings of what is shown",
    sentiment_pb2.RATING_SOURCE_MODEL: "by a model's ratings of what is shown; nobody was asked",
    sentiment_pb2.RATING_SOURCE_MIXED: "by ratings of what is shown, of people or of a model",
    sentiment_pb2.RATING_SOURCE_UNSPECIFIED: "by the ratings of what is shown",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `render`."""
    parser.set_defaults(run=render)
    _add_files(parser)
    add_story_options(parser)
    parser.add_argument(
        "--style-pictures",
        type=Path,
        metavar="DIR",
        help="paint in the style of these pictures: files called positive, neutral and negative (.jpg, .png, .webp), "
        f"or any that {STYLE_TABLE} lists with their feelings (file,name,arousal,valence); implies --style auto",
    )
    add_pictures(parser)
    add_composer_arguments(parser)


def add_again_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `again`."""
    parser.set_defaults(run=again)
    parser.add_argument("manifest", metavar="STORY.json", type=Path, help="the manifest of the story")
    _add_files(parser)
    add_composer_arguments(parser)


def _add_files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("song", type=parse_file_name, metavar="SONG", help="an audio file: mp3, m4a, flac, ogg, wav, …")
    parser.add_argument(
        "out", type=parse_file_name, metavar="OUT.mp4", help="the video; three more files are written beside it"
    )


def render(arguments: argparse.Namespace) -> int:
    """Renders a story and prints where its files are."""
    if arguments.style_pictures and not arguments.style:
        arguments.style = "auto"
    check_pictures(arguments)
    _set_style_pictures(arguments.style_pictures, arguments.target)
    _check_request(arguments, story_options(arguments))

    async def render_and_print() -> int:
        await choose_engine(arguments)
        options = story_options(arguments)
        story = await _render(arguments, options)
        print(json.dumps(story.to_json()) if arguments.json else _format_summary(story, options))
        return 0

    return run_to_end(render_and_print())


def again(arguments: argparse.Namespace) -> int:
    """Renders the story of a manifest once more and compares the frames; exit status 1 if they differ."""
    manifest = _read_manifest(arguments.manifest)
    options = _restore_options(manifest, arguments.manifest)
    arguments.engine = options.engine
    _check_request(arguments, options)
    _check_song(Path(arguments.song), manifest)

    async def render_and_compare() -> int:
        story = await _render(arguments, options)
        differing = _compare_models(manifest, story)
        same = story.end.frames_digest == manifest["frames_digest"]
        if arguments.json:
            print(json.dumps({**story.to_json(), "same_frames": same, "differing_models": differing}))
        else:
            print(_format_summary(story, options))
            print(_format_comparison(same, differing))
        return 0 if same else FAILURE

    return run_to_end(render_and_compare())


def _check_request(arguments: argparse.Namespace, options: StoryOptions) -> None:
    """Raises what is wrong with a request before anything is started."""
    options.to_config()
    SongSource(arguments.song)
    story_paths(Path(arguments.out))


def _set_style_pictures(style_pictures: Path | None, target: str | None) -> None:
    """Puts the folder of pictures into the environment of the generator that will be started here."""
    if style_pictures is None:
        return
    if target:
        message = (
            f"--style-pictures needs services started here; set {STYLE_PICTURES} where the generator of {target} runs"
        )
        raise CommandError(message, USAGE)
    if not style_pictures.is_dir():
        raise CommandError(
            f"--style-pictures is {style_pictures}, which is not a folder; give one with pictures", USAGE
        )
    named = {path.stem.lower() for path in style_pictures.iterdir() if path.suffix.lower() in STYLE_SUFFIXES}
    if not (style_pictures / STYLE_TABLE).exists() and not named & set(STYLE_NAMES):
        raise CommandError(
            f"--style-pictures is {style_pictures}, which has neither {STYLE_TABLE} nor a picture called "
            f"{', '.join(STYLE_NAMES[:-1])} or {STYLE_NAMES[-1]} ({', '.join(STYLE_SUFFIXES)}); name at least one so",
            USAGE,
        )
    os.environ[STYLE_PICTURES] = str(style_pictures.resolve())


async def _render(arguments: argparse.Namespace, options: StoryOptions) -> Story:
    board = getattr(arguments, "storyboard", None)  # `again` has none
    with show_progress(quiet=arguments.json) as report, locate_faults(board):

        async def render_song(client: Client) -> Story:
            report("analysing the song")
            return await client.render(arguments.song, arguments.out, options, on_event=report)

        return await ask(render_song, arguments=arguments, report=report)


def _format_summary(story: Story, options: StoryOptions) -> str:
    size, rate = story.started.size, story.started.frame_rate
    fps = rate.numerator / max(1, rate.denominator)
    lines = [
        f"{story.video}: {story.duration_s:.2f} s, {story.end.frame_count} frames "
        f"of {size.width_px}x{size.height_px}, {fps:.6g} a second",
        f"beside it: {story.manifest.name}, {story.contact_sheet.name}, {story.curve.name}",
        describe_music(story),
        describe_agreement(story.end),
        describe_mood(options),
        *(f"note: {warning.message}" for warning in story.end.song.warnings),
        *(f"note: {warning}" for warning in story.end.warnings),
        f"took {story.elapsed_s:.1f} s, {story.realtime_factor:.2f} x real time",
    ]
    return "\n".join(filter(None, lines))


def describe_music(story: Story) -> str:
    """Passages, with their sections in letters, and tempo; empty if neither is known."""
    count, tempo = len(story.sections), story.beats_per_minute
    shown = " ".join(story.sections[:MAX_SECTIONS]) + (" …" if count > MAX_SECTIONS else "")
    passages = f"{count} passages ({shown})" if count > 1 else "1 passage" if count else ""
    return ", ".join(filter(None, (passages, f"{tempo:.0f} beats a minute" if tempo else "")))


def describe_mood(options: StoryOptions) -> str:
    """Says how far a story was asked to be from its song; empty if it was not."""
    mood = options.to_config().mood
    if not (mood.arousal or mood.valence):
        return ""
    shift = f"arousal {mood.arousal:+.2f}, valence {mood.valence:+.2f}"
    return f"mood: {shift}; what the pictures follow is the song's feeling shifted by this"


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CommandError(f"{path} is not JSON ({error}); give the story.json that render wrote", USAGE) from None
    if not isinstance(manifest, dict) or not {"parameters", "song_digest", "frames_digest"} <= manifest.keys():
        raise CommandError(f"{path} is not the manifest of a story; give the story.json that render wrote", USAGE)
    return manifest


def _restore_options(manifest: Mapping[str, Any], path: Path) -> StoryOptions:
    """The options of the story of a manifest. Raises CommandError where they are incomplete."""
    try:
        parameters = manifest["parameters"]
        return StoryOptions(
            seed=int(parameters["seed"]),
            fps=parameters["frame_rate"],
            size=parameters["size"],
            engine=parameters["engine"],
            translator=parameters["translator"],
            style=parameters["style"] or "none",
            style_strength=float(parameters["style_strength"]),
            truncation=float(parameters["truncation"]),
            motion=float(parameters.get("motion", 0.0)),
            react=float(parameters.get("react", 0.0)),
            paint_rate=float(parameters.get("paint_rate", EVERY_FRAME)),
            themes=tuple(map(str, parameters.get("themes", ()))),
            only=tuple(map(str, parameters.get("only", ()))),
            without=tuple(map(str, parameters.get("without", ()))),
            mood=_restore_mood(parameters.get("mood", (0.0, 0.0))),
            mode=parameters["sentiment_mode"],
            start_s=int(parameters["start_us"]) / 1e6,
            duration_s=int(parameters["duration_us"]) / 1e6 or None,
            title=manifest.get("title", ""),
            storyboard=[_restore_key(key) for key in parameters.get("storyboard", [])],
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CommandError(
            f"{path} lacks a parameter of the story, or has a wrong one ({error}); give it as render wrote it",
            USAGE,
        ) from None


def _restore_mood(shift: Iterable[Any]) -> tuple[float, float]:
    arousal, valence = map(float, shift)
    return arousal, valence


def _restore_key(key: Mapping[str, Any]) -> StoryboardKey:
    shares = {str(name): float(share) for name, share in key["concepts"].items()}
    motion = None if key["motion"] is None else float(key["motion"])
    return StoryboardKey(int(key["time_us"]) / 1e6, shares, str(key["style"]), motion, bool(key["locked"]))


def _check_song(song: Path, manifest: Mapping[str, Any]) -> None:
    if not SongSource(song).replayable:
        raise CommandError(f"{song} is no regular file, and is needed twice; save what comes through it first", USAGE)
    with song.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != manifest["song_digest"]:
        raise CommandError(
            f"{song} is not the song of this story: its SHA-256 is {digest}, not {manifest['song_digest']}; "
            "give the file that the story was made from",
            USAGE,
        )


def _compare_models(manifest: Mapping[str, Any], story: Story) -> list[str]:
    """The models, by what they do, whose digests differ from those of the manifest."""
    before, now = manifest.get("digests", {}), dict(story.end.digests or story.started.digests)
    return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))


def _format_comparison(same: bool, differing: list[str]) -> str:
    if same:
        return "the same frames as before, bit for bit"
    models = f"these models are not the same: {', '.join(differing)}" if differing else "all models are the same"
    return f"note: the frames differ from those of the manifest; {models}"


def describe_agreement(end: SessionEnd) -> str:
    """Says how closely the pictures follow the song; empty where the story is too short to say.

    Args:
        end: of the story. The lower one of its two correlations decides.
    """
    pairs = min(end.arousal.n, end.valence.n)
    if end.duration_us < MIN_DURATION_S * 1e6 or pairs < MIN_PAIRS:
        return ""
    lowest = min(end.arousal.r, end.valence.r)
    words = next(words for least, words in DEGREES if lowest >= least or least == -1.0)
    unknown = RATERS[sentiment_pb2.RATING_SOURCE_UNSPECIFIED]
    return f"The pictures {words} (r {lowest:.2f} {RATERS.get(end.rated_by, unknown)})."
