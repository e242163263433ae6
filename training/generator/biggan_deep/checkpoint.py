"""Reads a checkpoint of the public layout safely: no pickled code runs, and nothing is used that was not checked."""

import pickle
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from training.generator.biggan_deep.layout import FIRST_SIDE_PX, NORMS, Layout, read_layout
from training.generator.biggan_deep.network import BigGanDeep, Block

__all__ = ["load_network"]

CONFIG, WEIGHTS = "config.json", "pytorch_model.bin"
Tensors = dict[str, Tensor]


def load_network(folder: Path) -> tuple[BigGanDeep, npt.NDArray[np.float32]]:
    """Builds the network of a folder that holds config.json and pytorch_model.bin.

    Returns:
        The network in evaluation mode, spectral norm folded, and the classes' embeddings (classes, Z).

    Raises:
        OSError: a file cannot be read.
        ValueError: a file is not what it should be.
    """
    layout = read_layout(folder / CONFIG)
    tensors = _check_tensors(_read(folder / WEIGHTS), layout, folder)
    network = BigGanDeep(layout)
    with torch.no_grad():
        _fill(network, tensors)
    return network.eval().requires_grad_(False), tensors["embeddings.weight"].T.contiguous().numpy()


def _read(path: Path) -> object:
    try:
        return torch.load(path, weights_only=True, map_location="cpu")
    except (pickle.UnpicklingError, RuntimeError, EOFError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path.name} holds more or less than tensors ({reason}); fetch the published file") from None


def _check_tensors(given: object, layout: Layout, folder: Path) -> Tensors:
    """All tensors of the layout as 32-bit floats, and no others."""
    file = f"{folder.name}/{WEIGHTS}"
    if not isinstance(given, dict):
        raise ValueError(f"{file} holds {type(given).__name__}; it must be a table of tensors: fetch it again")
    wanted = layout.tensor_shapes()
    way_out = f"take {CONFIG} and {WEIGHTS} of one and the same network"
    for name in (*wanted, *given):
        if name not in given:
            raise ValueError(f"{file} has no {name}; {CONFIG} asks for it: {way_out}")
        if name not in wanted:
            raise ValueError(f"{file} holds {name}, which {CONFIG} does not ask for: {way_out}")
        tensor = given[name]
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            kind = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
            raise ValueError(f"{name} in {file} is of {kind}; it must hold floating-point numbers: fetch it again")
        if tuple(tensor.shape) != wanted[name]:
            raise ValueError(f"{name} in {file} is {tuple(tensor.shape)}; {CONFIG} asks for {wanted[name]}: {way_out}")
        if not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{name} in {file} holds a value that is not finite; all must be: fetch it again")
    return {name: given[name].to(torch.float32) for name in wanted}


def _fold_spectral_norm(tensors: Tensors, name: str) -> Tensor:
    """A weight divided by its spectral norm, u · (W v), with the vectors as they are stored."""
    weight = tensors[f"{name}.weight_orig"]
    sigma = tensors[f"{name}.weight_u"] @ (weight.flatten(1) @ tensors[f"{name}.weight_v"])
    if not float(sigma) > 0:
        raise ValueError(f"the spectral norm of {name} is {float(sigma):g}; it must be above 0: fetch the file again")
    return weight / sigma


def _fill(network: BigGanDeep, tensors: Tensors) -> None:
    layout = network.layout
    side = FIRST_SIDE_PX**2
    rows = torch.arange(side * layout.layers[0].channels_in).view(side, -1).T.flatten()  # stored with channels last
    network.first.weight.copy_(_fold_spectral_norm(tensors, "generator.gen_z")[rows])
    network.first.bias.copy_(tensors["generator.gen_z.bias"][rows])
    for place, block in enumerate(network.blocks):
        assert isinstance(block, Block)
        for number, convolution in enumerate(block.convolutions):
            assert isinstance(convolution, nn.Conv2d)
            assert convolution.bias is not None
            name = f"{layout.block_name(place)}.conv_{number}"
            convolution.weight.copy_(_fold_spectral_norm(tensors, name))
            convolution.bias.copy_(tensors[f"{name}.bias"])
    attention, prefix = network.attention, f"{layout.attention_name}.snconv1x1"
    for part in ("theta", "phi", "g"):
        getattr(attention, part).weight.copy_(_fold_spectral_norm(tensors, f"{prefix}_{part}"))
    attention.out.weight.copy_(
        _fold_spectral_norm(tensors, f"{prefix}_o_conv") * tensors[f"{layout.attention_name}.gamma"]
    )
    network.to_rgb.weight.copy_(_fold_spectral_norm(tensors, "generator.conv_to_rgb")[:3])
    assert network.to_rgb.bias is not None
    network.to_rgb.bias.copy_(tensors["generator.conv_to_rgb.bias"][:3])
    _fill_normalisations(network, tensors)


def _fill_normalisations(network: BigGanDeep, tensors: Tensors) -> None:
    layout, norms = network.layout, network.normalisations
    names = [f"{layout.block_name(place)}.bn_{part}" for place in range(len(layout.layers)) for part in range(NORMS)]
    last = "generator.bn"  # the same for all classes
    for target, kind in ((norms.means, "running_means"), (norms.variances, "running_vars")):
        target.copy_(torch.cat([tensors[f"{name}.{kind}"] for name in (*names, last)], dim=1))
    silent = torch.zeros(layout.channels, layout.condition_size)
    modulation = [
        torch.cat([*(_fold_spectral_norm(tensors, f"{name}.{kind}") for name in names), silent])
        for kind in ("scale", "offset")
    ]
    norms.modulation.weight.copy_(torch.cat(modulation))
    norms.modulation.bias.zero_()
    total = sum(norms.widths)
    norms.modulation.bias[total - layout.channels : total] = tensors[f"{last}.weight"] - 1
    norms.modulation.bias[-layout.channels :] = tensors[f"{last}.bias"]
