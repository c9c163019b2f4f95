"""LoRA layers, which are peft's own, built once for a file and a model, and in the model's place of the layers they are for while it computes."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import ReferenceType, WeakKeyDictionary, ref

import torch

from sdxl_lab.adapters._adapter import AdapterError
from sdxl_lab.adapters._longer_tables import as_torch
from sdxl_lab.adapters._lora_content import Content, Layer
from sdxl_lab.adapters._lora_names import Places
from sdxl_lab.process.imports import importing

SPARE = 2
"""How many files' layers are kept of each model besides those that it computed with last."""


@contextmanager
def worn(model: Any, part: str, loras: Sequence[tuple[Content, float]]) -> Iterator[None]:
    """Have LoRAs on a model for the length of a block.

    Args:
        model: A UNet or a text encoder.
        part: Its name in its pipeline.
        loras: What the files hold, each with its weight, in the order in which they are added.
    """
    layers = _known.get(model)
    if layers is not None:
        layers.withdraw()  # what an interrupt within the last withdrawal left
    if not loras:
        yield
        return
    if layers is None:
        layers = _known[model] = _Layers()
    try:
        layers.put(layers.ready(model, part, loras))
        yield
    finally:
        layers.withdraw()


class _Site:
    """A layer of a model, what holds it there, and peft's layer around it with the matrices of one or several LoRAs."""

    def __init__(self, parent: Any, key: str) -> None:
        self._parent: ReferenceType[Any] = ref(parent)  # it may be the model, which these must not keep
        self._key = key
        self.own = parent._modules[key]
        self.around: Any = None

    def put(self) -> None:
        self._hold(self.around)

    def withdraw(self) -> None:
        self._hold(self.own)

    def _hold(self, module: Any) -> None:
        if (parent := self._parent()) is not None:
            parent._modules[self._key] = module

    def add(self, name: str, layer: Layer) -> None:
        """Build the two matrices of a layer, empty until they get the file's: a new one would draw random numbers."""
        from peft.tuners import lora

        told: dict[str, Any] = {"r": layer.rank, "lora_alpha": layer.scale, "config": lora.LoraConfig(init_lora_weights=False)}
        with torch.device("meta"):
            if self.around is None:
                kind = lora.Conv2d if isinstance(self.own, torch.nn.Conv2d) else lora.Linear
                self.around = kind(self.own, name, **told).train(self.own.training)
            else:
                self.around.update_layer(name, **told)
        for own, matrix in ((self.around.lora_A, layer.down), (self.around.lora_B, layer.up)):
            own[name].weight = torch.nn.Parameter(as_torch(matrix).to(_where_and_how(self.own)[1]))

    def tune(self, names: Sequence[str], weights: Sequence[float]) -> None:
        """Choose which LoRAs are computed, how strongly, and where."""
        has = [name for name in names if name in self.around.lora_A]
        if self.around.active_adapters != has:
            self.around.set_adapter(has)  # its weights then ask for gradients, as diffusers has them: torch multiplies such matrices otherwise
        device, _ = _where_and_how(self.own)
        for name, weight in zip(names, weights, strict=True):
            if name in has:
                self.around.set_scale(name, weight)
                if self.around.lora_A[name].weight.device != device:
                    self.around.lora_A[name].to(device)
                    self.around.lora_B[name].to(device)

    def drop(self, name: str) -> bool:
        """Let go of a LoRA's matrices; whether there are any left."""
        if len(self.around.lora_A) == 1:
            return False
        self.around.delete_adapter(name)
        return True


class _Layers:
    """What has been built for one model, by the content of the files."""

    def __init__(self) -> None:
        self._sites: dict[str, _Site] = {}
        self._paths: OrderedDict[str, tuple[str, ...]] = OrderedDict()
        self._in_place: Sequence[_Site] = ()

    def put(self, sites: Sequence[_Site]) -> None:
        """Have sites in their model's place."""
        self._in_place = sites
        for site in sites:
            site.put()

    def withdraw(self) -> None:
        """Have the model as it was; begun anew, should it be broken off."""
        for site in self._in_place:
            site.withdraw()
        self._in_place = ()

    def ready(self, model: Any, part: str, loras: Sequence[tuple[Content, float]]) -> list[_Site]:
        """The sites of some LoRAs, each with its weight."""
        names, weights = [content.digest for content, _ in loras], [weight for _, weight in loras]
        for content, _ in loras:
            if content.digest not in self._paths:
                self._build(model, part, content)
            self._paths.move_to_end(content.digest)
        sites = [self._sites[path] for path in dict.fromkeys(path for name in names for path in self._paths[name])]
        for site in sites:
            site.tune(names, weights)
        while len(self._paths) > len(names) + SPARE:
            self._forget(next(iter(self._paths)))
        return sites

    def _build(self, model: Any, part: str, content: Content) -> None:
        layers = {path: module for path, module in model.named_modules() if isinstance(module, torch.nn.Linear | torch.nn.Conv2d)}
        places = Places({path: tuple(module.weight.shape) for path, module in layers.items()})
        found = [(places.path(layer.name), layer) for layer in content.of(part)]
        if strange := [layer.name for path, layer in found if path is None or not layer.fits(places.shapes[path])]:
            raise AdapterError(
                f"a LoRA has {len(strange)} layers that do not fit the checkpoint's {part}, {strange[0]} first; resolve the run again."
            )
        with importing:
            from peft import LoraConfig  # noqa: F401 - by one thread at a time; layers are built by what is there then
        if twice := [name for name, count in Counter(path for path, _ in found).items() if count > 1]:
            raise AdapterError(f"a LoRA has more than one pair of matrices for {twice[0]}; take another file.")
        for path, layer in found:
            assert path is not None
            if path not in self._sites:
                above, _, key = path.rpartition(".")
                self._sites[path] = _Site(model.get_submodule(above), key)
            self._sites[path].add(content.digest, layer)
        self._paths[content.digest] = tuple(path for path, _ in found if path is not None)

    def _forget(self, name: str) -> None:
        for path in self._paths.pop(name):
            if not self._sites[path].drop(name):
                del self._sites[path]


_known: WeakKeyDictionary[Any, _Layers] = WeakKeyDictionary()
"""As long as the model is there."""


def _where_and_how(layer: Any) -> tuple[torch.device, torch.dtype]:
    """Where a layer computes, and in which type: as its weights are, unless these wait elsewhere, or in fewer bits, until they are needed."""
    device, dtype = layer.weight.device, layer.weight.dtype
    if device.type == "meta":
        device = torch.device(layer._hf_hook.execution_device)
    if registry := getattr(layer, "_diffusers_hook", None):
        if offloading := registry.get_hook("group_offloading"):
            device = offloading.group.onload_device
        if casting := registry.get_hook("layerwise_casting"):
            dtype = casting.compute_dtype
    return device, dtype
