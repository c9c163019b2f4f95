"""Model offloading: where a checkpoint's models wait and where they compute."""

from __future__ import annotations

from typing import Any

import torch

HALF = (torch.float16, torch.bfloat16)


class Residence:
    """Offloads a checkpoint's models: which of them are on the device, base and refiner together.

    Args:
        device: Where they compute.
        offload: `none` keeps all of them there, `model` one at a time, `sequential` one layer at a time, `group` one layer and, with CUDA, the next
            one, which is copied meanwhile.
    """

    def __init__(self, device: torch.device, offload: str) -> None:
        self.device = device
        self.offload = offload
        self._models: list[torch.nn.Module] = []
        self._resident: torch.nn.Module | None = None

    def admit(self, pipeline: Any, names: tuple[str, ...]) -> None:
        """Take over some of a pipeline's models."""
        for model in (getattr(pipeline, name, None) for name in names):
            if model is None:
                continue
            if self.device.type == "cpu" and model.dtype in HALF:
                _convolve_channels_last(model)
            if self.offload == "none":
                model.to(self.device)
            elif self.offload == "model":
                self._alternate(model)
            elif self.offload == "group":
                from diffusers.hooks import apply_group_offloading

                apply_group_offloading(model, onload_device=self.device, offload_type="leaf_level", use_stream=self.device.type == "cuda")
            else:
                from accelerate import cpu_offload

                cpu_offload(model, self.device, offload_buffers=len(model._parameters) > 0)

    def _alternate(self, model: torch.nn.Module) -> None:
        from accelerate.hooks import ModelHook, add_hook_to_module
        from accelerate.utils import send_to_device

        residence = self

        class MoveIn(ModelHook):
            execution_device = residence.device

            def pre_forward(self, module: torch.nn.Module, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
                residence.move_in(module)
                return send_to_device(args, residence.device), send_to_device(kwargs, residence.device)

        model.to("cpu")
        add_hook_to_module(model, MoveIn())

    def move_in(self, model: torch.nn.Module) -> None:
        """Bring a model to the device, and the one that was there back."""
        if model is self._resident:
            return
        if self._resident is not None:
            self._resident.to("cpu")
        model.to(self.device)
        self._resident = model


def _convolve_channels_last(model: torch.nn.Module) -> None:
    """Give a model's convolutions their pixels channels-last.

    Without instructions for half precision, torch's convolutions on a CPU are forty times faster that way (2.13, AVX2). The weights stay as
    they are: reordered, they would take memory a second time, beside the file they are mapped from.
    """

    def reorder(_module: torch.nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        return arguments[0].contiguous(memory_format=torch.channels_last), *arguments[1:]

    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_pre_hook(reorder)
