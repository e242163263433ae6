"""python -m training: a table of programs, each of which says what it takes without what only training needs."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from deepsing.cli.hand_over import CHOICES
from training import __main__ as programs
from training.audio_sentiment.labels import read_labels

# Columns of the tables that a program reads, as its help names them, and what the help says of their scale.
LABELS = ("file", "arousal, valence", "quadrant", "joyful_activation", "artist", "game", "tag_arousal", "duration_s")
RATINGS = ("file", "arousal_mean, valence_mean", "theme", "category, source")
COLUMNS = {
    ("eval", "audio"): (*LABELS, "-1 to 1; 0 is neutral", "share of listeners who felt it, 0 to 1", "per_measure.json"),
    ("train", "audio"): (
        *LABELS,
        "-1 to 1; 0 is neutral",
        "share of listeners who felt it, 0 to 1",
        "per_measure.json",
    ),
    ("eval", "image-sentiment"): (*RATINGS, "(default: 1 to 7)"),
    ("train", "image-sentiment"): (*RATINGS, "(default: 1 to 7)"),
    ("eval", "generator"): ("file", "concept"),
    ("engine", "make"): (
        "file",
        "arousal_mean, valence_mean",
        "1 to 7; 4 is neutral",
        "concept",
        "rated_by",
        "-1 to 1",
    ),
    ("eval", "styles"): ("file", "name", "share", "above 0, to 1", "arousal, valence", "-1 to 1"),
}
# As where the extra "train" is not installed: what comes with it cannot be imported.
WITHOUT_EXTRA = """
import sys
sys.modules.update(dict.fromkeys(("torch", "onnx", "librosa", "scipy", "tqdm")))
from training.__main__ import PROGRAMS
print("\\n".join(name for verb, what in PROGRAMS for name in [PROGRAMS[verb, what].load().build_parser().prog]))
"""


def test_the_command_line_offers_every_program_and_no_other() -> None:
    assert [(verb, what) for verb in CHOICES for what in CHOICES[verb]] == list(programs.PROGRAMS)


def test_every_program_says_what_it_takes_without_what_only_training_needs() -> None:
    said = subprocess.run([sys.executable, "-c", WITHOUT_EXTRA], capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == [f"deepsing {verb} {what}" for verb, what in programs.PROGRAMS]


@pytest.mark.parametrize("words", programs.PROGRAMS, ids=" ".join)
def test_help_has_examples_and_explains_every_column(
    words: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        programs.main([*words, "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert f"usage: deepsing {' '.join(words)}" in said
    assert any(line.startswith(("example:", "examples:")) for line in said.splitlines())
    assert f"\n  deepsing {' '.join(words)}" in said
    assert [text for text in COLUMNS.get(words, ()) if text not in said] == []


@pytest.mark.parametrize("words", programs.PROGRAMS, ids=" ".join)
def test_the_examples_of_help_are_commands(words: tuple[str, str]) -> None:
    parser = programs.PROGRAMS[words].load().build_parser()
    text = (parser.epilog or "").replace("\\\n", " ")
    examples = [line.split() for line in text.splitlines() if line.startswith(f"  deepsing {' '.join(words)}")]
    assert examples
    for example in examples:
        parser.parse_args(example[3:])


def test_arguments_reach_the_program_as_they_came(capsys: pytest.CaptureFixture[str]) -> None:
    assert programs.main(["eval", "translator", "--json", "--curves", "1", "--points", "10"]) == 0
    assert json.loads(capsys.readouterr().out)["dictionary"]["n"] == 10


@pytest.mark.parametrize("what", ["audio", "translator"])
def test_training_without_pytorch_says_how_to_get_it(
    what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(programs, "find_spec", lambda name: None)
    assert programs.main(["train", what, "--name", "x"]) == 2
    assert "training needs PyTorch; run: pip install -e '.[serve,train]'" in capsys.readouterr().err


def test_what_is_missing_of_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(program: programs.Program) -> None:
        raise ModuleNotFoundError("No module named 'tqdm'", name="tqdm")

    monkeypatch.setattr(programs.Program, "load", fail)
    assert programs.main(["eval", "image-sentiment"]) == 2
    assert "tqdm is not installed; run: pip install -e '.[serve,train]'" in capsys.readouterr().err
    assert programs.main(["engine", "make", "x"]) == 2
    assert "tqdm is not installed; run: pip install -e '.[serve,pictures]'" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["eval"], ["eval", "nothing"], ["measure", "audio"]])
def test_a_program_that_does_not_exist_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        programs.main(words)
    assert ended.value.code == 2
    assert "usage: python -m training" in capsys.readouterr().err


def test_labels_as_the_help_describes_them_are_read(tmp_path: Path) -> None:
    rows = [
        {"file": "a.mp3", "arousal": "0.5", "valence": "-1", "artist": "x"},
        {"file": "b.mid", "quadrant": "4", "game": "y", "duration_s": "12.5"},
        {
            "file": "c.ogg",
            **dict.fromkeys(("power", "tension", "calmness", "tenderness", "sadness", "amazement"), "0"),
            "joyful_activation": "1",
        },
    ]
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, sorted({name for row in rows for name in row}))
        writer.writeheader()
        writer.writerows(rows)
    for row in rows:
        (tmp_path / row["file"]).touch()
    (tmp_path / "per_measure.json").write_text(json.dumps({"b.mid": {"arousal": [-1, 0], "valence": [0, 1]}}))
    a, b, c = read_labels(tmp_path)
    assert (a.arousal, a.valence, a.group) == (0.5, -1.0, "x")
    assert (b.arousal, b.valence, b.group, b.duration_s) == (-1.0, 1.0, "y", 12.5)
    assert b.curve is not None
    assert b.curve.tolist() == [[-1, 0], [0, 1]]
    assert (c.arousal, c.valence, c.group) == (pytest.approx(1 / 3), pytest.approx(1 / 4), "c.ogg")
