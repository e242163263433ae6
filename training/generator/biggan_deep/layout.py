"""The public layout of BigGAN-deep: what config.json says, and which tensors pytorch_model.bin then holds."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Layer", "Layout", "read_layout"]

FIRST_SIDE_PX = 4  # the first feature map
REDUCTION = 4  # channels at the input of a block, over those of its inner convolutions
NORMS = 4  # normalisations, each before a convolution, of one block
KEYS = {
    "output_dim": int,
    "z_dim": int,
    "class_embed_dim": int,
    "channel_width": int,
    "num_classes": int,
    "attention_layer_position": int,
    "eps": float,
    "n_stats": int,
}


@dataclass(frozen=True)
class Layer:
    """One block: whether it doubles the size, and its channels."""

    doubles: bool
    channels_in: int
    channels_out: int

    @property
    def channels_inside(self) -> int:
        """Channels of the two 3 x 3 convolutions."""
        return self.channels_in // REDUCTION


@dataclass(frozen=True)
class Layout:
    """The sizes of one network."""

    size_px: int
    noise_size: int
    classes: int
    channels: int  # of the last feature map; of pictures the file holds as many, of which three are used
    layers: tuple[Layer, ...]
    attention_before: int  # index of the block before which attention stands
    eps: float
    steps: int  # rows of statistics, for truncations from 0 to 1

    @property
    def condition_size(self) -> int:
        """Length of what conditions every layer: noise, then the class."""
        return 2 * self.noise_size

    @property
    def attention_channels(self) -> int:
        """Channels where attention stands."""
        return self.layers[self.attention_before].channels_in

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every tensor that belongs into pytorch_model.bin."""
        first = self.layers[0].channels_in
        return {
            "embeddings.weight": (self.noise_size, self.classes),
            **dict(_weight_shapes("generator.gen_z", (FIRST_SIDE_PX**2 * first, self.condition_size), bias=True)),
            **dict(self._attention_shapes()),
            **{name: shape for place in range(len(self.layers)) for name, shape in self._block_shapes(place)},
            **dict(_statistics_shapes("generator.bn", self.steps, self.channels)),
            "generator.bn.weight": (self.channels,),
            "generator.bn.bias": (self.channels,),
            **dict(_weight_shapes("generator.conv_to_rgb", (self.channels, self.channels, 3, 3), bias=True)),
        }

    def block_name(self, place: int) -> str:
        """Prefix of a block's tensors; attention takes a number of its own."""
        return f"generator.layers.{place + (place >= self.attention_before)}"

    @property
    def attention_name(self) -> str:
        """Prefix of the tensors of attention."""
        return f"generator.layers.{self.attention_before}"

    def _block_shapes(self, place: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        layer, name = self.layers[place], self.block_name(place)
        inside = layer.channels_inside
        widths = (layer.channels_in, inside, inside, inside, layer.channels_out)
        for part, side in zip(range(NORMS), (1, 3, 3, 1), strict=True):
            yield from _statistics_shapes(f"{name}.bn_{part}", self.steps, widths[part])
            for kind in ("scale", "offset"):
                yield from _weight_shapes(f"{name}.bn_{part}.{kind}", (widths[part], self.condition_size))
            yield from _weight_shapes(f"{name}.conv_{part}", (widths[part + 1], widths[part], side, side), bias=True)

    def _attention_shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        name, width = self.attention_name, self.attention_channels
        narrow, half = width // 8, width // 2
        for part, sides in {"theta": (narrow, width), "phi": (narrow, width), "g": (half, width)}.items():
            yield from _weight_shapes(f"{name}.snconv1x1_{part}", (*sides, 1, 1))
        yield from _weight_shapes(f"{name}.snconv1x1_o_conv", (width, half, 1, 1))
        yield f"{name}.gamma", (1,)


def _statistics_shapes(name: str, steps: int, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.running_means", (steps, width)
    yield f"{name}.running_vars", (steps, width)


def _weight_shapes(name: str, shape: tuple[int, ...], *, bias: bool = False) -> Iterator[tuple[str, tuple[int, ...]]]:
    """A weight with spectral norm: as it was trained, and the two vectors whose product measures it."""
    inputs = 1
    for side in shape[1:]:
        inputs *= side
    yield f"{name}.weight_orig", shape
    yield f"{name}.weight_u", (shape[0],)
    yield f"{name}.weight_v", (inputs,)
    if bias:
        yield f"{name}.bias", (shape[0],)


def read_layout(path: Path) -> Layout:
    """Reads config.json.

    Raises:
        ValueError: it does not describe a network that can be built; the message says what and why.
    """
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path.name} is not JSON ({error}); fetch it again") from None
    if not isinstance(given, dict):
        raise ValueError(f"{path.name} holds {type(given).__name__}; it must be an object: fetch it again")
    for key, kind in KEYS.items():
        value: Any = given.get(key)
        fits = isinstance(value, (int, float) if kind is float else int) and not isinstance(value, bool)
        _require(fits and value > (-1 if kind is int else 0), path, key, value, f"a positive {kind.__name__}")
    layers: Any = given.get("layers")
    _require(isinstance(layers, list) and len(layers) > 0, path, "layers", layers, "a list of [doubles, in, out]")
    layout = Layout(
        size_px=given["output_dim"],
        noise_size=given["z_dim"],
        classes=given["num_classes"],
        channels=given["channel_width"],
        layers=tuple(_parse_layer(path, place, row, given["channel_width"]) for place, row in enumerate(layers)),
        attention_before=given["attention_layer_position"],
        eps=float(given["eps"]),
        steps=given["n_stats"],
    )
    _check(path, layout, given)
    return layout


def _parse_layer(path: Path, place: int, row: Any, width: int) -> Layer:
    right = isinstance(row, list) and len(row) == 3 and isinstance(row[0], bool)
    right = right and all(type(number) is int and number > 0 for number in row[1:])
    _require(right and row[2] in (row[1], row[1] // 2), path, f"layers[{place}]", row, "[doubles, in, in or in / 2]")
    return Layer(row[0], row[1] * width, row[2] * width)


def _check(path: Path, layout: Layout, given: dict[str, Any]) -> None:
    layers = layout.layers
    for place in range(1, len(layers)):
        chained = layers[place].channels_in == layers[place - 1].channels_out
        _require(chained, path, f"layers[{place}]", given["layers"][place], "to begin where the block before ends")
    for key, value, right, rule in (
        ("layers", given["layers"][0], given["layers"][0][1] == 16, "to begin with 16 times channel_width"),
        ("layers", given["layers"][-1], layers[-1].channels_out == layout.channels, "to end with channel_width"),
        ("class_embed_dim", given["class_embed_dim"], given["class_embed_dim"] == layout.noise_size, "equal to z_dim"),
        ("attention_layer_position", layout.attention_before, layout.attention_before < len(layers), "a block's index"),
        (
            "output_dim",
            layout.size_px,
            layout.size_px == _output_side_px(layers),
            f"{_output_side_px(layers)}, as the layers make it",
        ),
        ("n_stats", layout.steps, layout.steps > 1, "2 or more"),
        ("channel_width", layout.channels, layout.channels >= REDUCTION, "4 or more"),
    ):
        _require(right, path, key, value, rule)
    widths = all(layer.channels_in % REDUCTION == 0 for layer in layers) and layout.attention_channels % 8 == 0
    _require(widths, path, "channel_width", layout.channels, "such that blocks divide by 4 and attention by 8")


def _output_side_px(layers: tuple[Layer, ...]) -> int:
    return FIRST_SIDE_PX << sum(layer.doubles for layer in layers)


def _require(holds: bool, path: Path, key: str, value: object, rule: str) -> None:
    if not holds:
        raise ValueError(f"{key} in {path.name} is {value!r}; it must be {rule}: fetch the config of these weights")
