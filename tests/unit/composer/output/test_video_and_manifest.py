"""The mp4, the manifest, the contact sheet and the curve."""

import json
from array import array
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from services.composer.output.contact_sheet import ContactSheet, EvenSampler
from services.composer.output.curve import TINTS, Curve
from services.composer.output.manifest import ManifestWriter
from services.composer.output.video import VideoWriter, aac_rate_hz, join_videos, write_audio
from services.composer.story.frame import FrameInfo
from services.composer.story.judge_sampling import Judgement
from services.composer.story.music import MusicForm, Passage
from services.composer.story.rhythm import Tempo

NTSC = Fraction(30000, 1001)


def frame_info(seq: int) -> FrameInfo:
    return FrameInfo(seq, seq / 24, (0.1, -0.2), (0.15, -0.25), (("autumn lake", 0.9), ("lion", 0.1)), ())


def write_video(path: Path, frames: int, rate: Fraction) -> None:
    with VideoWriter(path, 64, 48, rate) as video:
        for k in range(frames):
            video.add(np.full((48, 64, 3), (k * 5 % 256, 40, 200), np.uint8))


@pytest.mark.parametrize("sample_rate_hz", [8000, 11_025, 22_050, 37_800, 44_100, 48_000, 192_000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_sound_of_any_rate_keeps_its_length(tmp_path: Path, sample_rate_hz: int, channels: int) -> None:
    write_video(tmp_path / "v.mp4", 36, Fraction(24))
    wave = 0.4 * np.sin(np.arange(round(1.5 * sample_rate_hz)) * 0.05)
    blocks = np.array_split(np.repeat(wave[:, None], channels, axis=1).astype(np.float32), 5)
    write_audio(tmp_path / "a.m4a", blocks, sample_rate_hz)
    join_videos([tmp_path / "v.mp4"], tmp_path / "a.m4a", tmp_path / "out.mp4", Fraction(24))
    with av.open(str(tmp_path / "out.mp4")) as story:
        sound = story.streams.audio[0]
        assert float(sound.duration * sound.time_base) == pytest.approx(1.5, abs=0.002)
        heard = np.concatenate([frame.to_ndarray()[0] for frame in story.decode(sound)])
        assert np.abs(heard).max() == pytest.approx(0.4, abs=0.08)


def test_pictures_at_ntsc_rate_do_not_drift(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", 300, NTSC)
    with av.open(str(tmp_path / "v.mp4")) as video:
        stream = video.streams.video[0]
        times = [frame.pts * stream.time_base for frame in video.decode(stream)]
    assert times == [k / NTSC for k in range(300)]


def test_colours_survive_the_way_to_video(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "v.mp4", 64, 64, Fraction(24)) as video:
        for _ in range(3):
            video.add(np.full((64, 64, 3), (200, 60, 30), np.uint8))
    with av.open(str(tmp_path / "v.mp4")) as video:
        picture = next(video.decode(video=0)).to_ndarray(format="rgb24")
    assert np.abs(picture.reshape(-1, 3).mean(axis=0) - (200, 60, 30)).max() < 6


def test_nothing_is_left_of_a_video_that_failed(tmp_path: Path) -> None:
    with suppress(ZeroDivisionError), VideoWriter(tmp_path / "v.mp4", 64, 64, Fraction(24)) as video:
        video.add(np.zeros((64, 64, 3), np.uint8))
        raise ZeroDivisionError
    write_video(tmp_path / "good.mp4", 3, Fraction(24))
    (tmp_path / "bad.m4a").write_bytes(b"no sound")
    with pytest.raises(av.error.InvalidDataError):
        join_videos([tmp_path / "good.mp4"], tmp_path / "bad.m4a", tmp_path / "out.mp4", Fraction(24))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.m4a", "good.mp4"]


def test_odd_sample_rates_are_raised_to_one_that_aac_knows() -> None:
    assert [aac_rate_hz(rate) for rate in (8000, 37_800, 44_100, 192_000)] == [8000, 44_100, 44_100, 96_000]


def test_a_manifest_is_json_with_every_frame_and_fact(tmp_path: Path) -> None:
    manifest = ManifestWriter(tmp_path / "m.json")
    for seq in range(3):
        manifest.add(frame_info(seq))
    manifest.finish({"seed": 5, "title": "„Lied“"})
    read = json.loads((tmp_path / "m.json").read_text(encoding="utf-8"))
    assert [frame["seq"] for frame in read["frames"]] == [0, 1, 2]
    assert read["frames"][1]["concepts"] == {"autumn lake": 0.9, "lion": 0.1}
    assert (read["seed"], read["title"]) == (5, "„Lied“")


@pytest.mark.parametrize("frames", [1, 2, 23, 24, 25, 1000])
def test_a_contact_sheet_shows_at_most_24_frames_spread_over_the_story(tmp_path: Path, frames: int) -> None:
    sheet, curve = ContactSheet(), Curve()
    for seq in range(frames):
        sheet.add(np.full((90, 160, 3), seq % 256, np.uint8), frame_info(seq))
        curve.add(frame_info(seq))
    chosen = [one.seq for _, one in sheet.thumbnails()]
    assert len(chosen) == min(frames, 24)
    assert chosen[0] == 0
    assert chosen[-1] >= 0.9 * (frames - 1)
    sheet.write(tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as picture:
        assert picture.format == "PNG"
    curve.write(tmp_path / "bare.png", sheet.thumbnails(), "title")
    readings = [Judgement(frame_info(seq), (0.3, -0.1)) for seq in range(0, frames, 24)]
    curve.write(tmp_path / "curve.png", sheet.thumbnails(), "title", readings, ("r = 0.50", "r = 0.40"))
    with Image.open(tmp_path / "curve.png") as picture, Image.open(tmp_path / "bare.png") as bare:
        assert picture.size == bare.size == (1400, 900)
        assert picture.tobytes() != bare.tobytes()


def test_thinning_keeps_few_of_many() -> None:
    kept: EvenSampler[int] = EvenSampler(10)
    for k in range(100_000):
        if kept.takes_next():
            kept.keep(k)
    assert len(kept.kept) < 20
    assert kept.select_evenly()[0] == 0
    assert len(kept.select_evenly()) == 10


def test_the_curve_shows_passages_in_the_tint_of_their_section(tmp_path: Path) -> None:
    curve = Curve()
    for seq in range(100):
        curve.add(FrameInfo(seq, seq * 1.0, (0.5, -0.5), (0.5, -0.5), (("c0", 1.0),), ()))
    passages = tuple(Passage(25.0 * place, section, 0.5, -0.5) for place, section in enumerate((0, 1, 0, 2)))
    curve.write(tmp_path / "curve.png", [], "title", music=MusicForm(passages, tempo=Tempo(112.0, 4, 0.9)))
    curve.write(tmp_path / "one.png", [], "title", music=MusicForm(passages[:1]))
    picture = np.asarray(Image.open(tmp_path / "curve.png").convert("RGB"))
    row = picture[340]  # in the lower half of the upper panel, where no line runs but those of boundaries
    tints = [tuple(int(value) for value in row[round(130 + (1385 - 130) * share)]) for share in (0.1, 0.4, 0.6, 0.9)]
    assert tints == [tuple(bytes.fromhex(TINTS[section][1:])) for section in (0, 1, 0, 2)]
    assert tuple(np.asarray(Image.open(tmp_path / "one.png").convert("RGB"))[340, 400]) == (255, 255, 255)


def test_beats_are_written_as_pairs_of_time_and_place_in_the_bar(tmp_path: Path) -> None:
    manifest = ManifestWriter(tmp_path / "story.json")
    beats = array("d", [value for place in range(10) for value in (place * 0.5 + 1 / 3, place % 4 + 1)])
    manifest.finish({"seed": 5}, MusicForm(beat_values=beats))
    written = json.loads((tmp_path / "story.json").read_text(encoding="utf-8"))
    assert (written["frames"], written["seed"], len(written["beats"])) == ([], 5, 10)
    assert (written["beats"][0], written["beats"][9]) == ([0.333, 1], [4.833, 2])
