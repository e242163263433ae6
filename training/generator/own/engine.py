"""Makes an engine of other pictures from the file of a canvas engine: only what it shows is exchanged.

The encoder in the file encodes pictures that were never trained on, in closed form; decoder and mixing stay the same.
Needs no PyTorch.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from services.generator.concepts import Concept, concepts_to_json
from training.generator.canvas.codes import LinearEncoder, pack_codes
from training.generator.canvas.fields import measure_latents, picture_fields, picture_thumbs
from training.generator.canvas.pictures import MIN_PICTURES
from training.generator.engine_file import encode_floats, save_engine

__all__ = ["EngineMaker"]

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]


class EngineMaker:
    """Takes pictures one by one, of which it keeps 85 kB each, and writes an engine that shows them.

    Args:
        source: the .onnx file of a canvas engine.

    Raises:
        ValueError: it is none.
    """

    def __init__(self, source: Path) -> None:
        self._model = onnx.load(source)
        self._facts = {entry.key: entry.value for entry in self._model.metadata_props}
        if "encoder" not in self._facts:
            raise ValueError(f"{source.name} holds no encoder; take a file of training.generator.canvas.export")
        self._encoder = LinearEncoder.from_text(self._facts["encoder"])
        self._packed: list[U8] = []
        self._thumbs: list[F32] = []
        self._focus: list[tuple[float, float]] = []

    def add(self, picture: U8, focus: tuple[float, float]) -> None:
        """Adds a picture.

        Args:
            picture: (H, W, 3), RGB, of the engine's native size.
            focus: where its subject is, down and across, each from 0 to 1.
        """
        self._packed.append(pack_codes(self._encoder.encode(picture[None]))[0])
        self._thumbs.append(picture_thumbs(picture[None])[0])
        self._focus.append(focus)

    @property
    def thumbs(self) -> F32:
        """Thumbnails of the pictures, (K, 32, 40, 3), in [0, 1]."""
        return np.stack(self._thumbs)

    def write(self, concepts: Sequence[Concept], path: Path) -> None:
        """Writes the engine, replaced in one rename.

        Args:
            concepts: what each picture shows, in their order.
            path: the .onnx file.

        Raises:
            ValueError: there are fewer than MIN_PICTURES pictures, or not as many concepts.
        """
        if len(self._packed) < MIN_PICTURES or len(concepts) != len(self._packed):
            raise ValueError(
                f"{len(self._packed)} pictures and {len(concepts)} concepts; give {MIN_PICTURES} or more of each, "
                "as many"
            )
        _replace_table(self._model, "packed", np.stack(self._packed))
        _replace_table(self._model, "fields", picture_fields(self.thumbs))
        _replace_table(self._model, "focus", np.array(self._focus, np.float32))
        del self._model.graph.value_info[:]  # shapes on the way, some of them with the number of concepts
        shown = {"concepts": concepts_to_json(list(concepts)), "latents": encode_floats(measure_latents(self.thumbs))}
        save_engine(self._model, self._facts | shown, path)


def _replace_table(model: onnx.ModelProto, name: str, values: U8 | F32) -> None:
    """Exchanges a table that has a row for each concept.

    Raises:
        ValueError: the model has none of this name with rows of this shape.
    """
    found = next((one for one in model.graph.initializer if one.name == name), None)
    if found is None or tuple(found.dims[1:]) != values.shape[1:]:
        raise ValueError(f"the engine has no table {name!r} of rows {values.shape[1:]}; take a canvas engine")
    found.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), name))
