import numpy as np
import pytest

mido = pytest.importorskip("mido")

from training.rhythm.evaluate import pick_onsets
from training.rhythm.score import MidiError, read_score


def write_piece(path):
    """Two bars of 3/4 at 120 bpm, then a bar of 4/4 at 60."""
    midi = mido.MidiFile(ticks_per_beat=480)
    track = mido.MidiTrack()
    midi.tracks.append(track)
    track.append(mido.MetaMessage("set_tempo", tempo=500_000))
    track.append(mido.MetaMessage("time_signature", numerator=3, denominator=4))
    for number in range(10):
        if number == 6:
            track.append(mido.MetaMessage("set_tempo", tempo=1_000_000))
            track.append(mido.MetaMessage("time_signature", numerator=4, denominator=4))
        track.append(mido.Message("note_on", note=60, velocity=90))
        track.append(mido.Message("note_on", note=64, velocity=90, time=5))
        track.append(mido.Message("note_off", note=60, time=235))
        track.append(mido.Message("note_off", note=64, time=240))
    midi.save(path)


def test_beats_bars_and_onsets_follow_the_tempo_map(tmp_path):
    write_piece(tmp_path / "piece.mid")
    score = read_score(tmp_path / "piece.mid")
    expected = [0, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 6]
    assert score.beats[:10].tolist() == pytest.approx(expected)
    assert score.downbeats.tolist() == pytest.approx([0, 1.5, 3, 7])
    assert score.onsets.tolist() == pytest.approx(expected)  # the chord's second note, 5 ms later, is no second onset
    assert score.cut(2.2).beats.tolist() == pytest.approx([0, 0.5, 1, 1.5, 2])


def test_a_file_that_is_no_midi_is_refused(tmp_path):
    (tmp_path / "no.mid").write_bytes(b"no midi at all")
    with pytest.raises(MidiError, match="no MIDI file"):
        read_score(tmp_path / "no.mid")


def test_onsets_are_peaks_of_all_bands_together():
    strength = np.zeros((100, 3), np.uint8)
    strength[20] = (0, 200, 100)
    strength[21] = (0, 100, 50)
    strength[60] = (120, 0, 0)
    strength[90] = (0, 20, 0)  # does not stand out
    assert pick_onsets(strength).tolist() == [0.2, 0.6]
