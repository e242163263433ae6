"""The shipped models, opened once per test run."""

import functools
from pathlib import Path

import numpy as np
import onnxruntime

import services.audio_sentiment
from services.audio_sentiment.embedding import Networks
from services.audio_sentiment.passages import PassageModel
from services.audio_sentiment.sentiment import SentimentModel

__all__ = ["WEIGHTS", "networks", "passage_model", "sentiment_model"]

WEIGHTS = Path(services.audio_sentiment.__file__).with_name("weights")


@functools.cache
def networks() -> Networks:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    opened = [
        onnxruntime.InferenceSession(str(WEIGHTS / f"{name}.onnx"), options, providers=["CPUExecutionProvider"])
        for name in ("network", "patch")
    ]
    return Networks(*opened)


@functools.cache
def sentiment_model() -> SentimentModel:
    with np.load(WEIGHTS / "head.npz") as arrays:
        return SentimentModel.from_arrays(arrays)


@functools.cache
def passage_model() -> PassageModel:
    with np.load(WEIGHTS / "head.npz") as arrays:
        return PassageModel.from_arrays(arrays)
