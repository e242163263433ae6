"""A mistake in what was asked for: one line that names it, exit status 2, nothing started."""

import json
import os
import re
import shlex
from pathlib import Path

import pytest

from deepsing.cli.__main__ import build_parser, main
from deepsing.cli.hand_over import CHOICES
from tests.unit.cli.commands import walk_parsers

PARAMETERS = {
    "seed": 1, "frame_rate": "24/1", "size": "256x256", "engine": "", "translator": "", "style": "none",
    "style_strength": 0.6, "sentiment_mode": "absolute", "truncation": 0.35, "start_us": 0, "duration_us": 0,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _in_a_folder_with_a_song(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("song.mp3").write_bytes(b"song")
    Path("folder.mp4").mkdir()
    Path("other.mp3").write_bytes(b"other")
    Path("list.json").write_text("[1]")
    part = {"parameters": {}, "song_digest": "", "frames_digest": ""}
    Path("part.json").write_text(json.dumps(part))
    Path("whole.json").write_text(json.dumps({**part, "parameters": PARAMETERS}))


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("", "the following arguments are required: COMMAND; see deepsing --help"),
        ("paint", "argument COMMAND: invalid choice: 'paint'"),
        ("render song.mp3", "the following arguments are required: OUT.mp4; see deepsing render --help"),
        ("render song.mp3 out.mp4 --frames 3", "unrecognized arguments: --frames 3"),
        ("render gone.mp3 out.mp4", "gone.mp3: no such file or directory"),
        ("render folder.mp4 out.mp4", "folder.mp4: is a directory"),
        ("render song.mp3 no/out.mp4", "no: no such folder"),
        ("render song.mp3 folder.mp4", "folder.mp4: is a folder"),
        ("render song.mp3 song.mp3/out.mp4", "song.mp3: no such folder"),
        ("render song.mp3 out.avi", "the story's file is named 'out.avi'; choose a name that ends in .mp4"),
        ("render song.mp3 out.mp4 --fps 240", "frame rate is '240'; choose 1 to 60, for example"),
        ("render song.mp3 out.mp4 --fps fast", "frame rate is 'fast'; choose 1 to 60, for example"),
        ("render song.mp3 out.mp4 --size 255x256", "size is '255x256'; choose even sides from 64 to 1920"),
        ("render song.mp3 out.mp4 --seed -1", "seed is -1; choose 0 to 18446744073709551615"),
        ("render song.mp3 out.mp4 --seed many", "argument --seed: invalid int value: 'many'"),
        ("render song.mp3 out.mp4 --mode happy", "argument --mode: invalid choice: 'happy'"),
        ("render song.mp3 out.mp4 --duration 0", "duration is 0.0 s; choose a part that lies within the song"),
        ("render song.mp3 out.mp4 --start nan", "start is nan s; choose a part that lies within the song"),
        ("render song.mp3 out.mp4 --style-pictures gone", "--style-pictures is gone, which is not a folder; give one"),
        (
            "render song.mp3 out.mp4 --style-pictures . --target 127.0.0.1:1",
            "--style-pictures needs services started here; set DEEPSING_GENERATOR_STYLE_PICTURES where the generator",
        ),
        (
            "render song.mp3 out.mp4 --style-pictures .",
            "--style-pictures is ., which has neither styles.csv nor a picture called positive, neutral or negative",
        ),
        (
            "render song.mp3 out.mp4 --pictures gone",
            "--pictures is gone, which is not a folder; give one with pictures",
        ),
        (
            "render song.mp3 out.mp4 --pictures . --engine x",
            "--pictures makes an engine of its own; leave --engine out, or --pictures",
        ),
        (
            "render song.mp3 out.mp4 --pictures . --target 127.0.0.1:1",
            "--pictures needs services started here; make the engine with deepsing engine make, load it in the",
        ),
        ("storyboard song.mp3 --pictures gone", "--pictures is gone, which is not a folder; give one with pictures"),
        ("storyboard song.mp3 --pictures . --engine x", "--pictures makes an engine of its own; leave --engine out"),
        ("live song.mp3 --pictures gone", "--pictures is gone, which is not a folder; give one with pictures"),
        ("live song.mp3 --pictures . --target 127.0.0.1:1", "--pictures needs services started here; make the engine"),
        ("render song.mp3 out.mp4 --target 127.0.0.1:1 --wait -1", "--wait is -1; choose 0 or more seconds"),
        (
            "render song.mp3 out.mp4 --mood gloomy",
            "mood is 'gloomy'; choose calmer, wilder, darker, brighter, also with",
        ),
        ("render song.mp3 out.mp4 --mood darker=2", "mood is 'darker=2'; choose a number from 0 to 1"),
        (
            "render song.mp3 out.mp4 --mood calmer --mood wilder=0.1",
            "mood is 'wilder=0.1'; it is given beside another; choose one of calmer or wilder, and darker or brighter",
        ),
        ("live song.mp3 --mood darker,brighter", "mood is 'brighter'; it is given beside another; choose one of"),
        ("stories create song.mp3 --mood calmer=x", "mood is 'calmer=x'; choose a number from 0 to 1"),
        ("render song.mp3 .mp4", "the story's file is named '.mp4', with nothing before the dot; choose such as story"),
        (f"render {'n' * 300}.mp3 out.mp4", f"{'n' * 300}.mp3: file name too long"),
        (f"render song.mp3 {'n' * 245}.mp4", f"{'n' * 245}.contact-sheet.png: file name too long"),
        ("render song.mp3 out.mp4 --duration 1e308", "duration is 1e+308 s; choose a part that lies within the song"),
        ("probe song.mp3 --start 1e308", "start is 1e+308 s; choose a part that lies within the song"),
        ("live song.mp3 --seconds 1e308", "--seconds is 1e+308; choose 0.5 or more, at most 2592000"),
        (
            "probe song.mp3 --timeout nan",
            "argument --timeout: timeout is nan s; choose more than 0 and at most 3153600",
        ),
        ("probe song.mp3 --timeout 0", "argument --timeout: timeout is 0 s; choose more than 0"),
        ("probe song.mp3 --timeout=-3", "argument --timeout: timeout is -3 s; choose more than 0"),
        ("stories list --timeout 1e10", "argument --timeout: timeout is 1e+10 s; choose more than 0"),
        ("probe song.mp3 --timeout soon", "argument --timeout: 'soon' is no number of seconds; choose one above 0"),
        (
            "probe song.mp3 --target 127.0.0.1:99999",
            "argument --target: the target is '127.0.0.1:99999'; give HOST:PORT with a port from 1 to 65535",
        ),
        ("concepts --target localhost:http", "argument --target: the target is 'localhost:http'; give HOST:PORT"),
        ("probe song.mp3 --target=", "argument --target: the target is ''; give HOST:PORT"),
        ("up --port 99999", "argument --port: '99999' is no port; choose 0 to 65535"),
        ("up --port=-1", "argument --port: '-1' is no port; choose 0 to 65535"),
        ("up --port 65533", "port 65536 for generator is none; choose up to 65535 with --port"),
        ("live song.mp3 --out=", "argument --out: the name is empty; give the name of a file"),
        ("again gone.json song.mp3 out.mp4", "gone.json: no such file or directory"),
        ("again song.mp3 song.mp3 out.mp4", "song.mp3 is not JSON"),
        ("again list.json song.mp3 out.mp4", "list.json is not the manifest of a story; give the story.json that"),
        ("again part.json song.mp3 out.mp4", "part.json lacks a parameter of the story, or has a wrong one ('seed')"),
        ("again whole.json other.mp3 out.mp4", "other.mp3 is not the song of this story: its SHA-256 is d9298a10"),
        ("probe gone.mp3 --json", "gone.mp3: no such file or directory"),
        ("probe song.mp3 --fps 0", "frame rate is '0'; choose 1 to 60"),
        ("live gone.mp3", "gone.mp3: no such file or directory"),
        ("live song.mp3 --seconds 0.1", "--seconds is 0.1; choose 0.5 or more"),
        ("live song.mp3 --view 70000", "--view is 70000; choose a port from 0 to 65535"),
        ("live song.mp3 --json --out -", "--json and --out - both want standard output; give --out a file"),
        ("live song.mp3 --device hw:1", "a file and --device are two sources; choose one"),
        ("live song.mp3 --fps 61", "frame rate is '61'; choose 1 to 60"),
        ("live song.mp3 --mode relative", "argument --mode: invalid choice: 'relative'"),
        ("eval", "the following arguments are required: what; see deepsing eval --help"),
        ("eval pictures", "argument what: invalid choice: 'pictures'"),
        ("train", "the following arguments are required: what; see deepsing train --help"),
        ("train generator", "argument what: invalid choice: 'generator'"),
        ("engine", "the following arguments are required: what; see deepsing engine --help"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    arguments: str, line: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    before = sorted(os.listdir(tmp_path))
    assert main(arguments.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"deepsing: {line}")
    assert err.count("\n") == 1
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize("command", ["render", "probe", "storyboard", "live", "stories create"])
def test_an_empty_name_of_a_song_is_called_so(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "", *(["out.mp4"] if command == "render" else [])]) == 2
    assert "the name is empty; give the name of a file" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["live pipe.mp3", "again whole.json pipe.mp3 out.mp4"])
def test_a_pipe_where_it_cannot_be_read_is_refused_without_waiting_for_its_writer(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo("pipe.mp3")
    assert main(command.split()) == 2
    assert capsys.readouterr().err.startswith("deepsing: pipe.mp3 is no regular file")


def test_a_port_that_is_taken_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["up", "--port", str(port)]) == 2
    assert f"port {port} for composer is taken; stop what listens there" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", ["render", "probe", "up", "concepts", "styles", "translators", "eval", "train", "engine"]
)
def test_the_help_of_each_command_shows_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"\n  deepsing {command}" in capsys.readouterr().out


@pytest.mark.parametrize(("words", "page"), list(walk_parsers()))
def test_every_help_page_says_what_the_command_does_and_shows_examples_that_are_understood(
    words: tuple[str, ...], page: str
) -> None:
    name = " ".join(("deepsing", *words))
    examples = re.findall(r"^  (deepsing .*?)(?:  .*)?$", page.partition("example")[2], re.MULTILINE)
    assert any(example == name or example.startswith(f"{name} ") for example in examples)
    usage, description, *_ = page.split("\n\n")
    assert usage.startswith(f"usage: {name}")
    assert description[0].isupper()
    assert description.endswith(".")
    for example in examples:
        found = shlex.split(example.partition(" | ")[0])[1:]
        if found[0] not in {*CHOICES, "bench"}:  # those take their arguments themselves
            build_parser().parse_args(found)


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == "deepsing 0.1.0\n"
