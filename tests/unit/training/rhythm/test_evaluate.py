import json
import shutil

import numpy as np
import pytest

pytest.importorskip("mido")
pytest.importorskip("mir_eval")
pytest.importorskip("librosa")

from services.audio_sentiment.rhythm.tracker import Beat, RhythmWindow
from tests.unit.training.rhythm.test_score import write_piece
from training.audio_sentiment.rendering import SOUNDFONT
from training.rhythm.evaluate import main, measure_piece
from training.rhythm.score import Score


@pytest.mark.skipif(shutil.which("fluidsynth") is None or not SOUNDFONT.is_file(), reason="needs fluidsynth")
@pytest.mark.filterwarnings("ignore")  # mir_eval warns of pieces that are shorter than what it leaves out
def test_a_folder_of_midi_files_is_measured(tmp_path, capsys):
    write_piece(tmp_path / "piece.mid")
    (tmp_path / "broken.mid").write_bytes(b"no midi at all")
    assert main(["--data", str(tmp_path), "--hearing", "live", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["n"], answer["hearing"], list(answer["pieces"])) == (1, "live", ["piece.mid"])
    assert answer["means"]["onsets"]["mean"] > 0.8


def make_window(place: int, late_s: float, *, forecasts: bool) -> RhythmWindow:
    """A window of music with a beat every half second; beats two seconds ahead are forecast so much too late."""
    ahead = (Beat(round((place + 4 + late_s * 2) * 500_000), 1, 0.9),) if forecasts else ()
    return RhythmWindow(np.zeros((50, 3), np.uint8), (Beat(place * 500_000, 1, 0.9),), ahead, None)


@pytest.mark.parametrize(("late_s", "share"), [(0.0, 1.0), (0.06, 1.0), (0.1, 0.0)])
@pytest.mark.filterwarnings("ignore")
def test_forecasts_are_compared_with_the_beats_that_came(late_s, share):
    beats = np.arange(60) / 2
    score = Score(beats, beats[::4], beats)
    windows = [make_window(place, late_s, forecasts=True) for place in range(60)]
    found = measure_piece(score, windows, beats)
    assert found["forecast"] == pytest.approx(share, abs=0.05)
    assert (found["beats"], found["offset_ms"]) == (1.0, 0.0)


@pytest.mark.filterwarnings("ignore")
def test_without_forecasts_or_onsets_there_is_nothing_to_measure():
    beats = np.arange(60) / 2
    windows = [make_window(place, 0.0, forecasts=False) for place in range(60)]
    found = measure_piece(Score(beats, beats[::4], beats), windows, beats)
    assert (found["forecast"], found["onset_offset_ms"]) == (None, None)


def test_a_folder_without_midi_is_refused(tmp_path, capsys):
    assert main(["--data", str(tmp_path)]) == 2
    assert "no MIDI file that can be heard" in capsys.readouterr().err
