import json
import shutil

import pytest

pytest.importorskip("mido")
pytest.importorskip("mir_eval")
pytest.importorskip("librosa")

from tests.unit.training.rhythm.test_score import write_piece
from training.audio_sentiment.rendering import SOUNDFONT
from training.rhythm.evaluate import main


@pytest.mark.skipif(shutil.which("fluidsynth") is None or not SOUNDFONT.is_file(), reason="needs fluidsynth")
@pytest.mark.filterwarnings("ignore")  # mir_eval warns of pieces that are shorter than what it leaves out
def test_a_folder_of_midi_files_is_measured(tmp_path, capsys):
    write_piece(tmp_path / "piece.mid")
    (tmp_path / "broken.mid").write_bytes(b"no midi at all")
    assert main(["--data", str(tmp_path), "--hearing", "live", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["n"], answer["hearing"], list(answer["pieces"])) == (1, "live", ["piece.mid"])
    assert answer["means"]["onsets"]["mean"] > 0.8


def test_a_folder_without_midi_is_refused(tmp_path, capsys):
    assert main(["--data", str(tmp_path)]) == 2
    assert "no MIDI file that can be heard" in capsys.readouterr().err
