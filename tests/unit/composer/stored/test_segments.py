"""A segment is read back as it was written, and joined videos are one video."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from services.composer.output.video import VideoWriter, join_videos, write_audio
from services.composer.stored.segments import NO_TILE, SegmentWriter, read_segment
from services.composer.story.frame import FrameInfo

ODD = Fraction(30_000, 1001)


def frame_info(seq: int) -> FrameInfo:
    return FrameInfo(seq, float(seq / ODD), (0.1, -1 / 3), (0.25, 1e-9), (("ruin – fog", 0.7), ("crow", 0.3)), ())


def test_a_segment_gives_back_what_it_was_given(tmp_path: Path) -> None:
    pictures = [np.full((64, 96, 3), shade, np.uint8) for shade in (10, 120, 230)]
    writer = SegmentWriter(tmp_path / "00000007.zip", 96, 64, ODD, 1)
    for place, picture in enumerate(pictures):
        writer.add(picture, frame_info(7 + place), bytes([place]) * 32, b"jpeg" if place == 1 else b"")
    tile = Image.fromarray(np.arange(6 * 4 * 3, dtype=np.uint8).reshape(4, 6, 3))
    writer.close([(tile, frame_info(9))], flashes=2)
    (tmp_path / "00000007.mp4").unlink()
    stored = read_segment(tmp_path / "00000007.zip")
    assert [frame.info for frame in stored.frames] == [frame_info(7), frame_info(8), frame_info(9)]
    assert [frame.digest for frame in stored.frames] == [bytes([place]) * 32 for place in range(3)]
    assert [frame.excerpt for frame in stored.frames] == [b"", b"jpeg", b""]
    assert np.array_equal(stored.frames[2].tile, np.asarray(tile))
    assert all(frame.tile is NO_TILE for frame in stored.frames[:2])
    assert stored.flashes == 2
    with av.open(str(stored.video)) as video:
        shades = [frame.to_ndarray(format="rgb24").mean() for frame in video.decode(video=0)]
    assert shades == pytest.approx([10, 120, 230], abs=3)


def test_a_segment_keeps_the_songs_own_sentiment_beside_a_shifted_target(tmp_path: Path) -> None:
    infos = [replace(frame_info(0), song=(0.3, 1 / 3)), frame_info(1)]
    writer = SegmentWriter(tmp_path / "0.zip", 64, 64, ODD, 1)
    for info in infos:
        writer.add(np.zeros((64, 64, 3), np.uint8), info, b"", b"")
    writer.close([], flashes=0)
    assert [frame.info for frame in read_segment(tmp_path / "0.zip").frames] == infos


def test_a_segment_that_is_abandoned_leaves_nothing(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path / "0.zip", 64, 64, ODD, 1)
    writer.add(np.zeros((64, 64, 3), np.uint8), frame_info(0), b"", b"")
    writer.abandon()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("lengths", [(60,), (29, 31), (8, 8, 43, 1), (40, 18, 2)])
def test_videos_one_after_another_show_every_frame_at_its_time(tmp_path: Path, lengths: tuple[int, ...]) -> None:
    paths, seq = [], 0
    for place, length in enumerate(lengths):
        paths.append(tmp_path / f"{place}.mp4")
        with VideoWriter(paths[-1], 64, 64, ODD) as writer:
            for _ in range(length):
                writer.add(np.full((64, 64, 3), 4 * seq, np.uint8))
                seq += 1
    write_audio(tmp_path / "sound.m4a", [np.zeros((88_200, 2), np.float32)], 44_100)
    join_videos(paths, tmp_path / "sound.m4a", tmp_path / "out.mp4", ODD)
    with av.open(str(tmp_path / "out.mp4")) as video:
        frames = [(frame.time, frame.to_ndarray(format="rgb24").mean()) for frame in video.decode(video=0)]
    assert [round(time_s * ODD, 6) for time_s, _ in frames] == list(range(60))
    assert [shade for _, shade in frames] == pytest.approx([4 * seq for seq in range(60)], abs=4)
