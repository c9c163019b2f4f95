"""What a measure of recorded pictures is, and the networks that it may look through."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from sdxl_lab.errors import LabError
from sdxl_lab.extractors import Extractor
from sdxl_lab.images.png import digest_of_pixels
from sdxl_lab.metrics import Expected
from sdxl_lab.spec.generated import Generated

_T = TypeVar("_T")

MOST_REMEMBERED = 512
"""Pictures and texts whose features are kept: inputs and prompts come again and again."""


class MeasureError(LabError):
    """A measure that isn't there, lacks its network, or needs of a picture what isn't kept."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """What is known of a picture besides its record, as far as its dataset is here.

    Attributes:
        expected: What it should show.
        input_caption: What its input shows, in words: the field `input_caption` of its sample; empty where nobody says.
        is_known: Whether its sample is here as it was, so that an empty caption means that it has none.
    """

    expected: Expected = field(default_factory=dict)
    input_caption: str = ""
    is_known: bool = False


Gauge = Callable[[Generated, Told], float | None]
"""Given a picture, its number; None where there is none. Of the picture before compositing nothing is there."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network that measures look through, as a row of `MODELS`.

    Attributes:
        sentence: What it is, and what it may be given as.
        model: What is taken unless another is given; None where one has to be.
    """

    sentence: str
    model: str | None = None


MODELS: Mapping[str, Network] = MappingProxyType(
    {
        "clip": Network(sentence="CLIP, for clip_score and clip_directional: a hub id or a folder.", model="openai/clip-vit-large-patch14"),
        "pickscore": Network(sentence="PickScore, for pick_score: a hub id or a folder.", model="yuvalkirstain/PickScore_v1"),
        "pickscore_processor": Network(
            sentence="PickScore's tokenizer and preprocessing: a hub id or a folder.", model="laion/CLIP-ViT-H-14-laion2B-s32B-b79K"
        ),
        "dinov2": Network(sentence="DINOv2, for dino_inside and dino_outside: a hub id or a folder.", model="facebook/dinov2-base"),
        "lpips": Network(sentence="AlexNet or VGG16, for lpips: a file of weights named as torchvision names them, .safetensors or .pth."),
        "lpips_linear": Network(sentence="LPIPS' linear weights for that network: a file named as the package lpips has them, .pth or .safetensors."),
    }
)
"""Every network by the name that it is given by."""


class Models:
    """The networks that somebody gives, each opened once however many measures look through it.

    Args:
        given: By names of `MODELS`: a hub id, perhaps with `@revision`, a folder or a file.
        fetch: Whether files of the hub that are not in the local cache may be downloaded.
    """

    def __init__(self, given: Mapping[str, str] = MappingProxyType({}), *, fetch: bool = False) -> None:
        if unknown := [name for name in given if name not in MODELS]:
            raise MeasureError(f"got {unknown[0]!r} as the name of a network; allowed is {', '.join(MODELS)}")
        self.given = dict(given)
        self.fetch = fetch
        self.used: dict[str, str] = {}
        self._opened: dict[str, Any] = {}

    def place(self, name: str) -> str:
        """Where a network is, as people write it.

        Raises:
            MeasureError: It has to be given and isn't.
        """
        self.need(name)
        self.used[name] = self.given.get(name) or MODELS[name].model or ""
        return self.used[name]

    def need(self, *names: str) -> None:
        """See that networks are given of which none is taken by itself.

        Raises:
            MeasureError: Tells all that are not.
        """
        if lacking := [name for name in names if not (self.given.get(name) or MODELS[name].model)]:
            told = " ".join(f"{name} (--{name.replace('_', '-')}): {MODELS[name].sentence}" for name in lacking)
            raise MeasureError(f"nothing is downloaded for what has to be given: {told}")

    def once(self, name: str, open_it: Callable[[str], _T]) -> _T:
        """Open a network, or take it as it was opened before."""
        place = self.place(name)
        if name not in self._opened:
            self._opened[name] = open_it(place)
        return self._opened[name]

    def check(self) -> None:
        """See that each network that was given is looked through.

        Raises:
            MeasureError: One is not.
        """
        if idle := [name for name in self.given if name not in self.used]:
            raise MeasureError(f"got {idle[0]}, and no metric that is asked for looks through it; ask for one that does: {MODELS[idle[0]].sentence}")


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A measure that is ready: its files were found, its networks are loaded with the first picture.

    Attributes:
        name: As it is asked for.
        of: Gives a picture's number.
        version: Of the formula; another one gives other numbers.
        networks: By name what they are by content, JSON.
        models: By name where they come from, as people write it; no part of what they are.
        notes: Called at the end; what is to be said, one line each.
        reads_caption: Whether the caption of a picture's input goes into its number, which is another one with another caption.
    """

    name: str
    of: Gauge
    version: int = 1
    networks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    notes: Callable[[], list[str]] = list
    reads_caption: bool = False

    def identity(self) -> dict[str, Any]:
        """What it is by content: equal identities give equal numbers."""
        return {"metric": self.name, "version": self.version, "networks": dict(self.networks)}

    @property
    def column(self) -> str:
        """What its numbers are called: where a network looks, with the first digits of what it is, since those of another are other numbers."""
        if not self.networks:
            return self.name
        return f"{self.name}-{hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode()).hexdigest()[:8]}"


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A metric of recorded pictures, as a row of `MEASURES`.

    Attributes:
        name: One of `metrics.asked.ASKED`.
        open: Finds its networks, and says what they are; raises `LabError` where they are not there, before any picture is looked at.
    """

    name: str
    open: Callable[[Models], Opened]


class Looks:
    """An extractor that looks at no picture twice.

    Args:
        extractor: It.
        look: What is remembered, given one picture; its features if left out.
    """

    def __init__(self, extractor: Extractor, look: Callable[[Image.Image], np.ndarray] | None = None) -> None:
        self.extractor = extractor
        self._look = look or (lambda image: extractor.features([image])[0])
        self._seen: dict[str, np.ndarray] = {}

    def __call__(self, image: Image.Image) -> np.ndarray:
        """What it sees in a picture."""
        key = f"{image.size} {digest_of_pixels(image)}"
        if key not in self._seen:
            if len(self._seen) >= MOST_REMEMBERED:
                self._seen.pop(next(iter(self._seen)))
            self._seen[key] = self._look(image)
        return self._seen[key]


def unit(row: np.ndarray) -> np.ndarray:
    """Vectors along the last axis, float64 and of length 1."""
    row = row.astype(np.float64)
    return row / np.linalg.norm(row, axis=-1, keepdims=True)


def file_given(name: str, place: str) -> Path:
    """A file of weights that somebody gives.

    Args:
        name: Of the network, one of `MODELS`.
        place: Its path.

    Raises:
        MeasureError: It isn't there, or is of another kind.
    """
    path = Path(place).expanduser()
    if not path.is_file():
        raise MeasureError(f"{name}: there is no file {place}; give one: {MODELS[name].sentence}")
    if path.suffix not in (".safetensors", ".pth", ".pt"):
        raise MeasureError(f"{name}: got {path.name}; allowed is .safetensors, or a .pth or .pt that holds nothing but weights")
    return path
