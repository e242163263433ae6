"""deepsing eval motion: what is refused before anything is started, and what is asked of the composer."""

from pathlib import Path

import pytest

from training.stories.evaluate_motion import _build_options, build_parser, main


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--songs", "nowhere"], "nowhere is no folder; say where the songs are"),
        (["--songs", ".", "--motion", "wild"], "motion is 'wild'; choose still, calm, lively or a number from 0 to 1"),
        (["--songs", ".", "--fps", "90"], "frame rate is '90'"),
    ],
)
def test_a_mistake_is_told_at_once(more: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(more) == 2
    assert words in capsys.readouterr().err


def test_the_film_that_is_measured_is_the_one_that_was_asked_for(tmp_path: Path) -> None:
    words = ["--songs", str(tmp_path), "--motion", "lively", "--react", "0.5", "--start", "3", "--limit-s", "4"]
    config = _build_options(build_parser().parse_args(words)).to_config()
    assert (config.motion, config.react, config.start_us, config.duration_us) == (1, 0.5, 3_000_000, 4_000_000)
    assert config.frame_rate.numerator == 24
