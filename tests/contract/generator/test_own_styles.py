"""GeneratorService with styles from pictures of the operator's own."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepsing.runtime.settings import SettingsError
from deepsing.v1 import generator_pb2
from services.generator import rpc
from services.generator.settings import Settings
from tests.contract.generator.serving import Stub, make_request, serve
from tests.unit.generator.opened import WEIGHTS

ROOT = Path(__file__).parents[3]


def settings(folder: Path | str) -> Settings:
    return Settings(engines=("tiny",), weights=(str(WEIGHTS),), style_pictures=str(folder))


async def test_pictures_of_the_operators_own_are_the_styles(tmp_path: Path) -> None:
    Image.new("RGB", (40, 40), (250, 230, 120)).save(tmp_path / "positive.png")
    Image.new("RGB", (40, 40), (20, 20, 60)).save(tmp_path / "negative.png")
    server, channel = await serve(lambda: asyncio.to_thread(rpc.open_generator, settings(tmp_path)))
    async with channel:
        stub = Stub(channel)
        listed = await stub.ListStyles(generator_pb2.ListStylesRequest())
        painted = await stub.Generate(make_request(3, style_weights=[0, 0, 0.6, 0, 0, 0.6]))
        plain = await stub.Generate(make_request(3))
    await server.drain(0)
    assert [(style.name, style.sentiment.valence) for style in listed.styles] == [("negative", -0.5), ("positive", 0.5)]
    assert len(listed.digest) == 64
    assert painted.images[0] == plain.images[0]
    means = [np.frombuffer(image, np.uint8).mean() for image in painted.images]
    assert means[2] > means[1] + 20  # the bright style, the dark one


def test_style_pictures_that_are_not_there_keep_the_service_from_starting() -> None:
    with pytest.raises(SettingsError, match="DEEPSING_GENERATOR_STYLE_PICTURES: gone is not a folder; give one that"):
        rpc.open_generator(settings("gone"))


def test_the_last_line_of_the_log_says_which_setting_keeps_the_service_from_starting(tmp_path: Path) -> None:
    environment = {"DEEPSING_GENERATOR_STYLE_PICTURES": str(tmp_path), "DEEPSING_SERVER_PORT": "0", **os.environ}
    words = [sys.executable, "-m", "services.generator"]
    done = subprocess.run(words, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 78
    last = json.loads(done.stderr.splitlines()[-1])
    rule = f"cannot start: DEEPSING_GENERATOR_STYLE_PICTURES: {tmp_path} has no styles.csv and no picture called"
    assert (last["level"], last["message"][: len(rule)]) == ("ERROR", rule)
