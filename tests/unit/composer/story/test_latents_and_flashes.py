"""Latents between keys, and the filter against flashes."""

import numpy as np
import pytest

from services.composer.story.flashes import FlashCounter, FlashGuard, cell_luminance
from services.composer.story.latents import KeyLatent, LatentPath, rotate_noise
from services.composer.story.timeline import Moment

FPS = 24


def key(place: int, seed: int) -> KeyLatent:
    classes = np.zeros(4, np.float32)
    classes[place] = 1
    noise = np.random.default_rng(seed).normal(size=128).astype(np.float32)
    return KeyLatent(classes, noise, np.zeros(0, np.float32), (0.1 * place, -0.1 * place))


def moment(progress: float, push: float = 0.5, phase: float = 0.0) -> Moment:
    return Moment(0.0, 0.0, 0, 1, progress, push, phase)


def test_between_two_keys_weights_stay_on_the_simplex_and_reach_both_ends() -> None:
    path = LatentPath()
    path.add(0, key(1, 0))
    path.add(1, key(3, 1))
    for progress in np.linspace(0, 1, 11):
        classes = path.latent_at(moment(float(progress))).classes
        assert classes.sum() == pytest.approx(1)
        assert classes[1] == pytest.approx(1 - progress)
        assert classes[3] == pytest.approx(progress)
    assert path.latent_at(moment(0.5)).expected == (pytest.approx(0.2), pytest.approx(-0.2))


def test_noise_keeps_its_strength_between_keys() -> None:
    path = LatentPath()
    path.add(0, key(0, 2))
    path.add(1, key(1, 3))
    strengths = [np.std(path.latent_at(moment(p, push=1.0)).noise) for p in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert np.ptp(strengths) < 0.35
    assert not path.latent_at(moment(0.5, push=0.0)).noise.any()


def test_turning_noise_a_whole_round_brings_it_back() -> None:
    noise = key(0, 4).noise
    assert rotate_noise(noise, 2 * np.pi) == pytest.approx(noise, abs=1e-5)
    assert np.abs(rotate_noise(noise, 0.02) - noise).max() < 0.08


@pytest.mark.parametrize("size", [(64, 64), (100, 100), (270, 480), (40, 30)])
def test_a_cell_is_the_mean_light_of_sixteen_of_its_pixels(size: tuple[int, int]) -> None:
    height, width = size
    picture = np.random.default_rng(2).integers(0, 256, (height, width, 3), dtype=np.uint8)
    light = (picture / 255) ** 2.2 @ [0.2126, 0.7152, 0.0722]
    light = light[np.arange(64) * height // 64][:, np.arange(64) * width // 64]
    expected = [light[4 * row : 4 * row + 4, 4 * column : 4 * column + 4].mean() for row, column in np.ndindex(16, 16)]
    assert cell_luminance(picture) == pytest.approx(np.array(expected), abs=1e-6)


def count_flashes_plainly(lights: list[np.ndarray]) -> list[int]:
    """Flashes in the second before each frame, computed cell by cell as WCAG defines them."""
    changes = np.zeros((len(lights), lights[0].size), int)
    for cell in range(lights[0].size):
        extreme, rising = 0.0, 0.0
        for seq, light in enumerate(float(one[cell]) for one in lights):
            if seq % (2 * FPS) == 0:
                extreme, rising = light, 0.0
            change = light - extreme
            if np.sign(change) == rising:
                extreme = light
            elif abs(change) >= 0.1 and min(light, extreme) < 0.8:
                extreme, rising, changes[seq, cell] = light, np.sign(change), 1
    shared = [
        np.sort(changes[max(0, seq - FPS + 1) : seq + 1].sum(0))[-lights[0].size // 4] for seq in range(len(lights))
    ]
    return [int(count) // 2 for count in shared]


@pytest.mark.parametrize("roughness", [0.01, 0.05, 0.2, 0.5])
def test_flashes_are_those_of_the_definition(roughness: float) -> None:
    rng, counter = np.random.default_rng(round(100 * roughness)), FlashCounter(FPS)
    walk = 0.4 + roughness * rng.normal(size=(5 * FPS, 1)) + 0.02 * rng.normal(size=(5 * FPS, 256))
    lights = list(walk.clip(0, 1).astype(np.float32))
    assert [counter.add(light) for light in lights] == count_flashes_plainly(lights)


def strobe(hertz: float, seconds: float, low: int = 0, high: int = 255) -> list[np.ndarray]:
    frames = []
    for k in range(round(seconds * FPS)):
        value = high if (k * 2 * hertz / FPS) % 2 < 1 else low
        frames.append(np.full((64, 64, 3), value, np.uint8))
    return frames


@pytest.mark.parametrize(("hertz", "flashes"), [(1, 1), (2, 2), (4, 4), (6, 6)])
def test_flashes_are_counted(hertz: float, flashes: int) -> None:
    counter = FlashCounter(FPS)
    for picture in strobe(hertz, 4):
        counter.add(cell_luminance(picture))
    assert abs(counter.worst - flashes) <= 1


def test_a_flash_in_an_eighth_of_the_picture_is_not_general() -> None:
    counter = FlashCounter(FPS)
    for picture in strobe(6, 3):
        picture[:, 8:] = 128
        counter.add(cell_luminance(picture))
    assert counter.worst == 0


@pytest.mark.parametrize("hertz", [3, 4, 5, 6, 8, 12])
def test_what_the_guard_lets_out_flashes_at_most_three_times_a_second(hertz: float) -> None:
    guard, check = FlashGuard(FPS), FlashCounter(FPS)
    for picture in strobe(hertz, 6):
        check.add(cell_luminance(guard.filter_frame(picture)))
    assert check.worst <= 3
    assert guard.worst == check.worst


def test_calm_pictures_pass_untouched() -> None:
    guard = FlashGuard(FPS)
    for k in range(60):
        picture = np.full((32, 32, 3), 60 + k, np.uint8)
        assert guard.filter_frame(picture) is picture


def test_a_resumed_story_counts_flashes_as_an_uninterrupted_one_does() -> None:
    rng = np.random.default_rng(3)
    frames = [np.full((32, 32, 3), 255 * rng.integers(0, 2), np.uint8) for _ in range(480)]
    whole = FlashGuard(FPS)
    shown = [whole.filter_frame(picture) for picture in frames]
    too_many = 0
    for seq in range(97, 480, 24):
        counted_from = FlashGuard.warmup_start(seq, FPS)
        check = FlashCounter(FPS, counted_from)
        for picture in shown[counted_from:]:
            check.add(cell_luminance(picture))
        begin = FlashGuard.warmup_start(counted_from, FPS)
        again, unsettled = FlashGuard(FPS, begin, counted_from), FlashGuard(FPS, counted_from)
        for picture in frames[begin:]:
            again.filter_frame(picture)
        for picture in frames[counted_from:]:
            unsettled.filter_frame(picture)
        assert again.worst == check.worst
        too_many += unsettled.worst > check.worst
    assert too_many > 0  # or the frames before would not be needed


def test_a_story_taken_up_again_continues_with_equal_bytes() -> None:
    rng = np.random.default_rng(1)
    frames = [np.full((32, 32, 3), rng.integers(0, 256), np.uint8) for _ in range(240)]
    whole = FlashGuard(FPS)
    shown = [whole.filter_frame(picture) for picture in frames]
    for seq in (0, 1, 50, 97, 150, 239):
        begin = FlashGuard.warmup_start(seq, FPS)
        again = FlashGuard(FPS, begin)
        resumed = [again.filter_frame(picture) for picture in frames[begin:]]
        assert all(np.array_equal(a, b) for a, b in zip(resumed[seq - begin :], shown[seq:], strict=True))
