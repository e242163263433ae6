"""Opens engines from their exported files and paints with them, by the generator's own code.

Differs from serving: no manifest is read and no digest checked; pictures are painted one at a time.
"""

import base64
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deepsing.runtime.onnx import open_session
from services.generator.engine import Engine

__all__ = ["list_concepts", "open_engine", "open_engine_with_latents", "paint_rows"]

F32 = NDArray[np.float32]


def open_engine(path: Path, threads: int = 1) -> Engine:
    """Opens an engine that training.generator.engine_file wrote.

    Args:
        path: the .onnx file.
        threads: of one picture; 0 takes all cores.
    """
    return Engine(path.stem, "", open_session(path, threads=threads))


def open_engine_with_latents(path: Path) -> tuple[Engine, F32]:
    """Opens an engine and reads where its concepts lie in its space: (K, D).

    Source: the file's metadata, base64 of little-endian 32-bit floats; see training/generator/engine_file.py.
    """
    session = open_session(path, threads=1)
    engine = Engine(path.stem, "", session)
    stored = base64.b64decode(session.get_modelmeta().custom_metadata_map["latents"])
    return engine, np.frombuffer(stored, "<f4").astype(np.float32).reshape(len(engine.concepts), -1)


def list_concepts(engine: Engine) -> tuple[str, ...]:
    """Names of an engine's concepts, in the order of class weights."""
    return tuple(concept.name for concept in engine.concepts)


def paint_rows(
    engine: Engine, class_weights: F32, noise: F32 | None = None, truncation: F32 | float = 0.0
) -> Iterator[NDArray[np.uint8]]:
    """Paints one picture (H, W, 3) after another.

    Args:
        engine: what paints.
        class_weights: (N, K), rows on the simplex.
        noise: (N, Z); None is no noise.
        truncation: (N,), or one value for all.
    """
    count = len(class_weights)
    moves = np.zeros((count, engine.noise_size), np.float32) if noise is None else noise.astype(np.float32)
    amounts = np.broadcast_to(np.asarray(truncation, np.float32), count)
    for row in range(count):
        part = slice(row, row + 1)
        yield engine.paint(class_weights[part].astype(np.float32), moves[part], amounts[part])[0]
