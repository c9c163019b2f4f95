"""The layers of a checkpoint's models and how many numbers each holds: by the headers of its files, or by its configurations alone; without torch.

Counted without names, so that a page of memory needs no model's class; what has to fit a layer by its name is told by `weight_shapes.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sdxl_lab.checkpoints.configurations import MODELS
from sdxl_lab.checkpoints.files import PipelineFolder
from sdxl_lab.checkpoints.single_files import Part
from sdxl_lab.checkpoints.weight_files import CheckpointError, shapes_in

REFINER = "refiner"
"""What a refiner's UNet is called beside the models of its base."""

OF_A_VAE = re.compile(r"(.*\.)?(encoder|decoder|quant_conv|post_quant_conv)\..*")
"""What of a single file's VAE is loaded: its training may have left more."""

NO_WEIGHTS = ("position_ids", "logit_scale")
"""What files hold of models beside the weights that are loaded."""

TIME = 4
"""How much wider than its first block a UNet's embedding of the time is."""

WIDEST, DEEPEST, MOST_LEVELS = 1 << 20, 100, 10
"""Channels or words, layers in a row, and levels that are counted: far more than any model has."""


@dataclass(frozen=True)
class Layer:
    """A layer of a model.

    Attributes:
        numbers: How many it holds.
        is_norm: Whether it is a norm, which 8 bits pass over.
    """

    numbers: int
    is_norm: bool = False


Layers = Sequence[Layer]


def layers_in(part: Part) -> dict[str, Layers]:
    """The layers of a base or a refiner that is here, by the name of the model: of a refiner the UNet alone.

    Args:
        part: Its files; nothing but their headers is read.

    Raises:
        CheckpointError: A file is missing, or is no whole .safetensors file.
    """
    if isinstance(part, PipelineFolder):
        names = ("unet",) if part.is_refiner else part.models
        return {name: _grouped({key: shape for file in part.weights(name) for key, shape in shapes_in(file).items()}) for name in names}
    _ = part.in_channels  # which sees that it is of the right kind
    read = {name: part.shapes(name) for name in (("unet",) if part.is_refiner else part.models(MODELS))}
    if "vae" in read:
        read["vae"] = {key: shape for key, shape in read["vae"].items() if OF_A_VAE.fullmatch(key)}
    return {name: _grouped(shapes) for name, shapes in read.items()}


def _grouped(shapes: Mapping[str, tuple[int, ...]]) -> Layers:
    layers: dict[str, list[tuple[str, tuple[int, ...]]]] = {}
    for name, shape in shapes.items():
        layer, _, kind = name.rpartition(".")
        if kind not in NO_WEIGHTS:
            layers.setdefault(layer, []).append((kind, shape))
    norms = {layer for layer, held in layers.items() if any(kind == "weight" and len(shape) == 1 for kind, shape in held)}
    return [Layer(sum(math.prod(shape) for _, shape in held), layer in norms) for layer, held in layers.items()]


def layers_of(configurations: Mapping[str, Mapping[str, Any]]) -> dict[str, Layers]:
    """The layers that models have by their configurations.

    Args:
        configurations: Name of the model, `refiner` for its UNet, to what its config.json says.

    Raises:
        CheckpointError: A configuration is not of Stable Diffusion's kind.
    """
    counted = {"unet": _unet, REFINER: _unet, "vae": _vae, "text_encoder": _text_encoder, "text_encoder_2": _text_encoder}
    found: dict[str, Layers] = {}
    for name, configuration in configurations.items():
        with _told(name):
            found[name] = list(counted[name](configuration))
    return found


def unet_shape(name: str, configuration: Mapping[str, Any]) -> UNetShape:
    """The shape of a UNet.

    Args:
        name: For the error.
        configuration: What its config.json says.

    Raises:
        CheckpointError: It is not of Stable Diffusion's kind.
    """
    with _told(name):
        return UNetShape.of(configuration)


@contextmanager
def _told(name: str) -> Iterator[None]:
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {str(error)[:100]}"
        raise CheckpointError(
            f"by its configuration the {name} is not built as those of Stable Diffusion are ({reason}), so its size cannot "
            "be reckoned; set compute.offload to none, model or sequential, or copy the file again from its source."
        ) from error


def _whole(value: Any, least: int = 1, most: int = WIDEST) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{str(value)[:60]!r}, where a whole number of {least} to {most} is needed")
    return value


def _widths(configuration: Mapping[str, Any]) -> tuple[int, ...]:
    blocks = configuration["block_out_channels"]
    if not isinstance(blocks, list | tuple) or not 1 <= len(blocks) <= MOST_LEVELS:
        raise ValueError(f"block_out_channels {str(blocks)[:60]!r}, where a list of 1 to {MOST_LEVELS} is needed")
    return tuple(map(_whole, blocks))


def _convolution(inward: int, outward: int, kernel: int = 3) -> Layer:
    return Layer(kernel**2 * inward * outward + outward)


def _linear(inward: int, outward: int, *, bias: bool = True) -> Layer:
    return Layer(inward * outward + outward * bias)


def _norm(width: int) -> Layer:
    return Layer(2 * width, is_norm=True)


def _resnet(inward: int, outward: int, time: int = 0) -> Iterator[Layer]:
    yield from (_norm(inward), _convolution(inward, outward), _norm(outward), _convolution(outward, outward))
    if time:
        yield _linear(time, outward)
    if inward != outward:
        yield _convolution(inward, outward, 1)


def _transformer(width: int, text: int, depth: int) -> Iterator[Layer]:
    yield from (_norm(width), _linear(width, width), _linear(width, width))
    for _ in range(depth):
        for context in (width, text):
            yield _norm(width)
            yield from (_linear(inward, width, bias=False) for inward in (width, context, context))
            yield _linear(width, width)
        yield from (_norm(width), _linear(width, 8 * width), _linear(4 * width, width))


@dataclass(frozen=True)
class UNetShape:
    """What of a UNet's configuration its size depends on; level 0 is that of the latents, each further one has half the sides.

    Attributes:
        in_channels: Of its input.
        widths: Channels of each level.
        depths: Transformer blocks after each resnet of a level, 0 for none.
        resnets: Of each level on its way down; up there is one more.
        text: Width of the text embeddings.
        added: Width of the pooled text and the sizes; 0 where the UNet is told neither, as before XL.
        middle: Transformer blocks below the last level.
    """

    in_channels: int
    widths: tuple[int, ...]
    depths: tuple[int, ...]
    resnets: tuple[int, ...]
    text: int
    added: int
    middle: int

    @classmethod
    def of(cls, configuration: Mapping[str, Any]) -> UNetShape:
        """Read it from a config.json."""
        widths = _widths(configuration)
        kinds = configuration["down_block_types"]
        each = _for_each(configuration.get("transformer_layers_per_block", 1), len(widths))
        if not set(kinds) <= {"DownBlock2D", "CrossAttnDownBlock2D"} or len(kinds) != len(widths):
            raise ValueError(f"down_block_types {kinds}")
        return cls(
            in_channels=_whole(configuration["in_channels"]),
            widths=widths,
            depths=tuple(depth if kind.startswith("Cross") else 0 for kind, depth in zip(kinds, each, strict=True)),
            resnets=_for_each(configuration.get("layers_per_block", 2), len(widths), least=1),
            text=_whole(configuration["cross_attention_dim"]),
            added=_whole(configuration.get("projection_class_embeddings_input_dim") or 0, least=0),
            middle=each[-1],
        )


def _for_each(value: int | Sequence[int], levels: int, least: int = 0) -> tuple[int, ...]:
    each = (value,) * levels if isinstance(value, int) else tuple(value)
    if len(each) != levels:
        raise ValueError(f"{str(value)[:60]!r}, where {levels} numbers are needed, one for each level")
    return tuple(_whole(count, least, DEEPEST) for count in each)


def _unet(configuration: Mapping[str, Any]) -> Iterator[Layer]:
    shape = UNetShape.of(configuration)
    widths, first, last = shape.widths, shape.widths[0], shape.widths[-1]
    time = TIME * first
    yield from (_convolution(shape.in_channels, first), _linear(first, time), _linear(time, time))
    yield from (_linear(shape.added, time), _linear(time, time)) if shape.added else ()
    skips = [first]
    for level, (width, depth, resnets) in enumerate(zip(widths, shape.depths, shape.resnets, strict=True)):
        for _ in range(resnets):
            yield from _resnet(skips[-1], width, time)
            yield from _transformer(width, shape.text, depth) if depth else ()
            skips.append(width)
        if level + 1 < len(widths):
            yield _convolution(width, width)
            skips.append(width)
    yield from (*_resnet(last, last, time), *_transformer(last, shape.text, shape.middle), *_resnet(last, last, time))
    inward = last
    for level in reversed(range(len(widths))):
        width, depth = widths[level], shape.depths[level]
        for _ in range(shape.resnets[level] + 1):
            yield from _resnet(inward + skips.pop(), width, time)
            yield from _transformer(width, shape.text, depth) if depth else ()
            inward = width
        if level:
            yield _convolution(width, width)
    yield from (_norm(first), _convolution(first, _whole(configuration.get("out_channels", 4))))


def _vae(configuration: Mapping[str, Any]) -> Iterator[Layer]:
    widths, latents = _widths(configuration), _whole(configuration["latent_channels"])
    resnets, pixels = _whole(configuration.get("layers_per_block", 1), most=DEEPEST), _whole(configuration.get("in_channels", 3))
    first, last = widths[0], widths[-1]

    def middle() -> Iterator[Layer]:
        yield from (*_resnet(last, last), *_resnet(last, last))
        if configuration.get("mid_block_add_attention", True):
            yield from (_norm(last), *[_linear(last, last)] * 4)

    yield _convolution(pixels, first)
    for inward, width in pairwise((first, *widths)):
        yield from _resnet(inward, width)
        yield from (layer for _ in range(resnets - 1) for layer in _resnet(width, width))
    yield from (_convolution(width, width) for width in widths[:-1])
    yield from (*middle(), _norm(last), _convolution(last, 2 * latents), _convolution(2 * latents, 2 * latents, 1))
    yield from (_convolution(latents, latents, 1), _convolution(latents, last), *middle())
    for inward, width in pairwise((last, *reversed(widths))):
        yield from _resnet(inward, width)
        yield from (layer for _ in range(resnets) for layer in _resnet(width, width))
    yield from (_convolution(width, width) for width in widths[1:])
    yield from (_norm(first), _convolution(first, pixels))


def _text_encoder(configuration: Mapping[str, Any]) -> Iterator[Layer]:
    width, inner = _whole(configuration["hidden_size"]), _whole(configuration["intermediate_size"])
    yield from (Layer(_whole(configuration[count]) * width) for count in ("vocab_size", "max_position_embeddings"))
    for _ in range(_whole(configuration["num_hidden_layers"], most=DEEPEST)):
        yield from (_norm(width), *[_linear(width, width)] * 4, _norm(width), _linear(width, inner), _linear(inner, width))
    yield _norm(width)
    if "CLIPTextModelWithProjection" in configuration.get("architectures", ()):
        yield _linear(width, _whole(configuration["projection_dim"]), bias=False)
