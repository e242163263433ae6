"""Makes an engine of other pictures from the file of a canvas engine: only what it shows is exchanged.

The encoder in the file encodes pictures that were never trained on, in closed form; decoder and mixing stay the same.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import numpy_helper

from services.generator.concepts import Concept, concepts_to_json
from training.generator.canvas.codes import LinearEncoder, pack_codes
from training.generator.canvas.export import picture_latents
from training.generator.canvas.mixing import picture_fields
from training.generator.canvas.pictures import MIN_PICTURES
from training.generator.engine_file import encode_floats, save_engine

__all__ = ["write_own_engine"]


def write_own_engine(source: Path, pictures: npt.NDArray[np.uint8], concepts: list[Concept], path: Path) -> None:
    """Writes an engine that shows these pictures, replaced in one rename.

    Args:
        source: the .onnx file of a canvas engine.
        pictures: (K, H, W, 3), RGB, of the engine's native size.
        concepts: K, what each shows.
        path: the .onnx file to write.

    Raises:
        ValueError: there are fewer than MIN_PICTURES pictures, or the source is not a canvas engine.
    """
    if len(pictures) < MIN_PICTURES or len(concepts) != len(pictures):
        raise ValueError(
            f"{len(pictures)} pictures and {len(concepts)} concepts; give {MIN_PICTURES} or more of each, as many"
        )
    model = onnx.load(source)
    facts = {entry.key: entry.value for entry in model.metadata_props}
    if "encoder" not in facts:
        raise ValueError(f"{source.name} holds no encoder; take a file of training.generator.canvas.export")
    packed = pack_codes(LinearEncoder.from_text(facts["encoder"]).encode(pictures))
    _replace_table(model, "packed", packed.transpose(0, 3, 1, 2))
    _replace_table(model, "fields", _measure_fields(pictures))
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = len(pictures)
    del model.graph.value_info[:]  # shapes on the way, some of them with the number of concepts
    shown = {"concepts": concepts_to_json(concepts), "latents": encode_floats(picture_latents(pictures))}
    save_engine(model, facts | shown, path)


def _measure_fields(pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The fields of pictures (K, H, W, 3), as the file holds them: (K, 16, 20)."""
    rows = [picture_fields(torch.from_numpy(one).permute(2, 0, 1)[None].float() / 255) for one in pictures]
    fields: npt.NDArray[np.uint8] = (torch.cat(rows) * 255).round().to(torch.uint8).numpy()
    return fields


def _replace_table(model: onnx.ModelProto, name: str, values: npt.NDArray[np.uint8]) -> None:
    """Exchanges a table that has a row for each concept.

    Raises:
        ValueError: the model has none of this name with rows of this shape.
    """
    found = next((one for one in model.graph.initializer if one.name == name), None)
    if found is None or tuple(found.dims[1:]) != values.shape[1:]:
        raise ValueError(f"the engine has no table {name!r} of rows {values.shape[1:]}; take a canvas engine")
    found.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), name))
