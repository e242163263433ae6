"""Makes the small networks that tests paint with: `python -m tests.golden.generator.regenerate`.

tiny.onnx: an engine of 64 px with random weights (seed 0), small enough for tests, written as every engine's file is.
painting.onnx: two styles, "negative" and "mirror", with the interface of the real style network.
tiny.npz: inputs and the pictures that PyTorch paints from them.
"""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from services.generator.concepts import Concept, concepts_to_json
from training.generator.engine_file import write_engine
from training.manifest import write_manifest

WEIGHTS = Path(__file__).parent / "weights"
FIELD_PX, SIZE_PX = 16, 64  # sides of a field and of a picture
CHANNELS, LATENT_SIZE = 32, 8
SHARPNESS = 6.0  # of the front between two concepts
CONCEPTS = [Concept("calm lake", -0.5, 0.6), Concept("storm", 0.7, -0.4), Concept("fog", -0.3, -0.2)]
NOISE_SIZE = 4
TRAINED_STATEMENT = "made by tests/golden/generator/regenerate.py"


class TinyGraph(nn.Module):
    """Mixes latents by place, each concept where its field is strong, and paints them with three convolutions.

    Args:
        latents: (K, LATENT_SIZE).
        fields: (K, FIELD_PX, FIELD_PX), in [0, 1].
        basis: (NOISE_SIZE, LATENT_SIZE), along which noise moves latents.
    """

    latents: Tensor
    fields: Tensor
    basis: Tensor

    def __init__(self, latents: Tensor, fields: Tensor, basis: Tensor) -> None:
        super().__init__()
        self.register_buffer("latents", latents)
        self.register_buffer("fields", fields)
        self.register_buffer("basis", basis)
        self.places = nn.Parameter(torch.randn(1, LATENT_SIZE, FIELD_PX, FIELD_PX))
        self.enter = nn.Conv2d(LATENT_SIZE, CHANNELS, 3, padding=1)
        self.body = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.to_colours = nn.Conv2d(CHANNELS, 3 * (SIZE_PX // FIELD_PX) ** 2, 3, padding=1)

    def forward(self, class_weights: Tensor, noise: Tensor, truncation: Tensor) -> Tensor:
        """(N, K) on the simplex, (N, Z), (N,) in [0, 1] → (N, SIZE_PX, SIZE_PX, 3) uint8."""
        moved = self.latents + (truncation[:, None] * (noise @ self.basis))[:, None]
        shown = class_weights.square()[:, :, None, None] * (SHARPNESS * self.fields).exp()
        shares = shown / shown.sum(dim=1, keepdim=True)
        mixed = (moved.transpose(1, 2) @ shares.flatten(2)).unflatten(2, (FIELD_PX, FIELD_PX))
        features = functional.relu(self.enter(mixed * self.places))
        features = functional.relu(features + self.body(features))
        colours = torch.sigmoid(4 * functional.pixel_shuffle(self.to_colours(features), SIZE_PX // FIELD_PX))
        return (colours * 255).round().to(torch.uint8).permute(0, 2, 3, 1)


def tiny_engine(path: Path) -> None:
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    latents = random.standard_normal((len(CONCEPTS), LATENT_SIZE)).astype(np.float32)
    ramp = torch.linspace(0, 1, FIELD_PX).expand(FIELD_PX, FIELD_PX)
    fields = torch.stack([ramp, ramp.flip(1), ramp.T])  # they show on the right, on the left, at the bottom
    basis = torch.from_numpy(0.4 * random.standard_normal((NOISE_SIZE, LATENT_SIZE)).astype(np.float32))
    graph = TinyGraph(torch.from_numpy(latents), fields, basis).eval()
    write_engine(graph, latents, CONCEPTS, NOISE_SIZE, SIZE_PX, path)
    write_manifest(path, {"engine": "canvas", "data": TRAINED_STATEMENT})
    given = {
        "class_weights": np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.5, 0], [0.2, 0.5, 0.3]], dtype=np.float32),
        "noise": random.standard_normal((5, NOISE_SIZE)).astype(np.float32),
        "truncation": np.array([0, 0, 0.5, 0, 1], dtype=np.float32),
    }
    with torch.no_grad():
        pictures = graph(*(torch.from_numpy(values) for values in given.values())).numpy()
    np.savez_compressed(path.with_suffix(".npz"), **given, pictures=pictures)


def two_styles(path: Path) -> None:
    """Weights (2,): styled = w0 · negative + w1 · mirror + (1 - w0 - w1) · picture."""
    constants = {
        "full": np.float32(255),
        "one": np.float32(1),
        "first": np.int64(0),
        "second": np.int64(1),
        "from": np.array([-1]),
        "to": np.array([-(2**31)]),
        "across": np.array([2]),
    }
    steps = [
        ("Cast", ["picture"], "real", {"to": TensorProto.FLOAT}),
        ("Gather", ["weights", "first"], "w0", {}),
        ("Gather", ["weights", "second"], "w1", {}),
        ("Sub", ["full", "real"], "negative", {}),
        ("Slice", ["real", "from", "to", "across", "from"], "mirror", {}),
        ("Add", ["w0", "w1"], "sum", {}),
        ("Sub", ["one", "sum"], "rest", {}),
        ("Mul", ["negative", "w0"], "a", {}),
        ("Mul", ["mirror", "w1"], "b", {}),
        ("Mul", ["real", "rest"], "c", {}),
        ("Sum", ["a", "b", "c"], "blend", {}),
        ("Round", ["blend"], "round", {}),
        ("Cast", ["round"], "styled", {"to": TensorProto.UINT8}),
    ]
    shape: list[str | int | None] = [1, "height", "width", 3]
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, [output], **more) for kind, inputs, output, more in steps],
        "two_styles",
        [
            helper.make_tensor_value_info("picture", TensorProto.UINT8, shape),
            helper.make_tensor_value_info("weights", TensorProto.FLOAT, [2]),
        ],
        [helper.make_tensor_value_info("styled", TensorProto.UINT8, shape)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    styles = [Concept("negative", 0.5, -0.5), Concept("mirror", 0.0, 0.1)]
    helper.set_model_props(model, {"styles": concepts_to_json(styles)})
    onnx.checker.check_model(model)
    onnx.save(model, path)
    write_manifest(path, {"data": TRAINED_STATEMENT})


if __name__ == "__main__":
    WEIGHTS.mkdir(exist_ok=True)
    tiny_engine(WEIGHTS / "tiny.onnx")
    two_styles(WEIGHTS / "painting.onnx")
