"""Songs for cameras, and how fast a camera moves."""

import numpy as np
from numpy.typing import NDArray

from services.composer.film.camera import Camera, Pose
from services.composer.film.warp import find_view
from services.composer.story.rhythm import STEPS, Beat, Rhythm
from services.composer.story.timeline import WINDOW_S, Point

SIDE_PX = 256


def rhythm(low: dict[int, int], beats: tuple[Beat, ...] = (), forecast: tuple[Beat, ...] = ()) -> Rhythm:
    """A rhythm whose low band has onsets of a strength (one byte) at some steps, and silence above."""
    band = bytearray(STEPS)
    for step, strength in low.items():
        band[step] = strength
    return Rhythm(bytes(band), b"", b"", beats, forecast)


def point(number: int, arousal: float = 0.0, heard: Rhythm | None = None) -> Point:
    return Point(number * WINDOW_S, arousal, 0.0, loudness=0.5, onset=0.0, rhythm=heard)


def storm(count: int) -> list[Point]:
    """The most that a song can do: every band at full strength every 10 ms, a beat that is sure in every window."""
    full = bytes([255, 0] * (STEPS // 2))
    return [point(number, 1.0, Rhythm(full, full, full, (Beat(number * WINDOW_S, 1, 1.0),))) for number in range(count)]


def song(count: int, seed: int = 0) -> list[Point]:
    """A song of random onsets, beats and arousal."""
    rng = np.random.default_rng(seed)
    return [
        point(
            number,
            float(rng.uniform(-1, 1)),
            Rhythm(
                rng.integers(0, 200, STEPS, np.uint8).tobytes(),
                rng.integers(0, 100, STEPS, np.uint8).tobytes(),
                b"",
                (Beat(number * WINDOW_S + float(rng.uniform(0, WINDOW_S)), int(rng.integers(0, 5)), 0.9),),
            ),
        )
        for number in range(count)
    ]


def poses(points: list[Point], fps: float = 24.0, *, motion: float = 1.0, react: float = 1.0) -> list[Pose]:
    camera = Camera(motion, react, look_ahead=True)
    for one in points:
        camera.add(one)
    return [camera.pose_at(seq / fps) for seq in range(int(len(points) * WINDOW_S * fps))]


def speeds(path: list[Pose], fps: float = 24.0) -> NDArray[np.float64]:
    """Mean distance that places of the picture move from each frame to the next, shares of the width a second."""
    places = np.stack(np.meshgrid(*[np.linspace(0, SIDE_PX - 1, 9)] * 2), -1).reshape(-1, 2)
    views = [find_view(pose, SIDE_PX, SIDE_PX) for pose in path]
    seen = np.stack([places @ view[:, :2].T + view[:, 2] for view in views])
    moved: NDArray[np.float64] = np.linalg.norm(np.diff(seen, axis=0), axis=2).mean(axis=1) / SIDE_PX * fps
    return moved
