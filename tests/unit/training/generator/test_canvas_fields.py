"""What an engine's tables say of pictures, in NumPy: as PyTorch measured it for the engine that is shipped."""

import numpy as np
import pytest

from tests.unit.training.generator.discs import make_pictures
from training.generator.canvas.fields import measure_latents, picture_fields, picture_thumbs

FORMER = [[125, 114, 175, 160, 137], [45, 97, 187, 111, 9], [18, 155, 180, 232, 152], [150, 215, 253, 201, 139]]


def test_thumbnails_are_means_of_places() -> None:
    pictures = make_pictures(3)
    thumbs = picture_thumbs(pictures)
    assert thumbs.shape == (3, 32, 40, 3)
    assert thumbs[1, 7, 3] == pytest.approx(pictures[1, 28:32, 12:16].mean((0, 1)) / 255, abs=1e-6)
    with pytest.raises(ValueError, match="pictures are 100 x 128 px; use multiples of 40 x 32"):
        picture_thumbs(np.zeros((1, 128, 100, 3), np.uint8))


def test_a_field_ranks_places_by_what_they_show() -> None:
    fields = picture_fields(picture_thumbs(make_pictures(3)))
    assert fields.shape == (3, 16, 20)
    assert fields.dtype == np.uint8
    for field in fields:
        assert np.array_equal(np.sort(field.ravel()), np.rint(np.arange(320, dtype=np.float32) / np.float32(319) * 255))
    picture = np.zeros((1, 128, 160, 3), np.uint8)
    picture[0, 48:80, 96:128] = (250, 30, 30)  # the only thing that there is
    field = picture_fields(picture_thumbs(picture))[0]
    assert field[6:10, 12:16].mean() > 230


def test_fields_are_those_that_were_measured_by_pytorch_before() -> None:
    field = picture_fields(picture_thumbs(make_pictures(1)))[0]
    assert np.abs(field[::5, ::4].astype(int) - FORMER).max() <= 1


def test_fields_do_not_depend_on_the_other_pictures() -> None:
    thumbs = picture_thumbs(make_pictures(3))
    together, apart = picture_fields(thumbs), np.concatenate([picture_fields(one[None]) for one in thumbs])
    assert np.array_equal(together, apart)


def test_alike_pictures_lie_near_each_other() -> None:
    pictures = make_pictures(4)
    near = np.concatenate([pictures, np.clip(pictures[:1] + np.uint8(3), 3, 255)])
    latents = measure_latents(picture_thumbs(near))
    apart = np.linalg.norm(latents - latents[0], axis=1)
    assert apart[4] == apart[1:].min()
    assert np.sqrt(np.square(latents).mean()) == pytest.approx(1, abs=1e-5)


def test_pictures_that_look_the_same_when_small_have_latents() -> None:
    assert np.isfinite(measure_latents(np.full((3, 32, 40, 3), 0.5, np.float32))).all()
