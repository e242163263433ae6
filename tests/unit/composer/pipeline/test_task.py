"""In which size a story's pictures are painted, and what is said where they are enlarged."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.composer.pipeline.task import StoryTask
from services.composer.story.plan import Size


def task(shown: tuple[int, int] | None, native: tuple[int, int] = (640, 512), *, is_styled: bool = False) -> StoryTask:
    plan = SimpleNamespace(size=Size(*shown) if shown else None, is_styled=is_styled)
    return StoryTask(cast(Any, plan), cast(Any, SimpleNamespace(native_size=Size(*native))), "story")


@pytest.mark.parametrize(
    ("shown", "painted"),
    [
        (None, (640, 512)),
        ((256, 256), (256, 256)),
        ((512, 512), (512, 512)),
        ((1280, 720), (640, 360)),
        ((1920, 1080), (640, 360)),
        ((1080, 1920), (288, 512)),
        ((910, 512), (640, 360)),
        ((1920, 64), (1920, 64)),
        ((1920, 128), (960, 64)),
        ((854, 480), (640, 360)),
    ],
)
def test_pictures_are_painted_no_larger_than_the_engines(shown: tuple | None, painted: tuple) -> None:
    assert task(shown).painted_size == Size(*painted)


@pytest.mark.parametrize(
    ("shown", "painted"),
    [(None, (480, 384)), ((512, 512), (384, 384)), ((1280, 720), (480, 270)), ((64, 64), (64, 64))],
)
def test_styled_pictures_are_painted_a_quarter_smaller(shown: tuple | None, painted: tuple) -> None:
    assert task(shown, is_styled=True).painted_size == Size(*painted)


def test_pictures_that_are_enlarged_much_are_told() -> None:
    assert task((910, 512)).warnings == ()
    assert task((960, 540)).warnings == ()
    assert task((1920, 1080)).warnings == (
        "pictures are enlarged 3.0 times, from 640x360 px to 1920x1080 px; a smaller size is as sharp",
    )
    assert "enlarged 2.0 times, from 256x256 px to 512x512 px" in task((512, 512), native=(256, 256)).warnings[0]
