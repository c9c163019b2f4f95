"""The schedulers that can be asked for, in one table. Loads no diffusers: who builds one looks its class up by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Scheduler:
    """One of diffusers' schedulers, and how it is set.

    Attributes:
        class_name: Its class in diffusers.
        label: What the tools around AUTOMATIC1111's web UI call it.
        overrides: What it is told over the configuration of the checkpoint's own scheduler.
        is_plain: Whether it evaluates the UNet once a step, as many steps as it is asked for, of any common noise schedule with at least
            as many timesteps; then nobody needs to build it to count. A test holds those that say so to it, as of `forgets`.
        is_evenly_led: Whether its timesteps of a common schedule that is spaced `leading` are the multiples of a whole number, plus the
            offset; then nobody needs to build it to see which they are. Likewise held to it.
        forgets: Whether a step depends on its latents alone: neither on the steps before it nor on noise that it draws.
    """

    class_name: str
    label: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    is_plain: bool = False
    is_evenly_led: bool = False
    forgets: bool = False


SCHEDULERS: dict[str, Scheduler] = {
    "euler": Scheduler(class_name="EulerDiscreteScheduler", label="Euler", is_plain=True, is_evenly_led=True, forgets=True),
    "euler_a": Scheduler(class_name="EulerAncestralDiscreteScheduler", label="Euler a", is_plain=True, is_evenly_led=True),
    # Its defaults, meant for pixels, would clip latents to [-1, 1]; these two are SDXL's own configuration.
    "ddim": Scheduler(
        class_name="DDIMScheduler", label="DDIM", overrides={"clip_sample": False, "set_alpha_to_one": False}, is_plain=True, forgets=True
    ),
    "dpmpp_2m": Scheduler(class_name="DPMSolverMultistepScheduler", label="DPM++ 2M", is_plain=True),
    "dpmpp_2m_karras": Scheduler(
        class_name="DPMSolverMultistepScheduler", label="DPM++ 2M Karras", overrides={"use_karras_sigmas": True}, is_plain=True
    ),
    "dpmpp_2m_sde": Scheduler(
        class_name="DPMSolverMultistepScheduler", label="DPM++ 2M SDE", overrides={"algorithm_type": "sde-dpmsolver++"}, is_plain=True
    ),
    "unipc": Scheduler(class_name="UniPCMultistepScheduler", label="UniPC", is_plain=True),
    "heun": Scheduler(class_name="HeunDiscreteScheduler", label="Heun"),
    "lcm": Scheduler(class_name="LCMScheduler", label="LCM"),
}

REFUSED: Mapping[str, str] = {
    "pndm": "PNDM cannot be split at the hand-over from base to refiner",
    "dpmpp_sde": "DPM++ SDE takes its noise from the global generator, not from the seed; dpmpp_2m_sde does not",
}
"""Schedulers that people ask for and that are not offered, and why."""


def otherwise_called() -> dict[str, str]:
    """What to say of other names for schedulers, in lower case: those that are not offered, and other tools' and diffusers' of those that are."""
    classes = {row.class_name.casefold(): f"write {name}" for name, row in reversed(SCHEDULERS.items())}
    labels = {row.label.casefold(): f"write {name}" for name, row in SCHEDULERS.items()}
    return classes | {label: said for label, said in labels.items() if label not in SCHEDULERS} | dict(REFUSED)
