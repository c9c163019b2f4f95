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
        is_evenly_spaced: Whether its timesteps of a common schedule that is spaced `leading` or `trailing` are those of
            `noise_schedules.EvenlySpaced`; then nobody needs to build it to see which they are. Likewise held to it.
        takes_karras: Whether it can spread its noise as `Denoising.karras` says.
        is_spaced: Whether its timesteps are where `Denoising.timestep_spacing` says.
        is_spaced_with_karras: Whether they still are when its noise is spread as Karras' is, which may begin and end at the ends of the schedule.
        also: What else it is called elsewhere, in lower case.
        steps_without_karras: Below how many steps its pictures break up, unless its noise is spread as Karras' is.
        forgets: Whether a step depends on its latents alone: neither on the steps before it nor on noise that it draws.
    """

    class_name: str
    label: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    is_plain: bool = False
    is_evenly_spaced: bool = False
    takes_karras: bool = False
    is_spaced: bool = True
    is_spaced_with_karras: bool = False
    also: tuple[str, ...] = ()
    steps_without_karras: int = 0
    forgets: bool = False

    @property
    def is_karras(self) -> bool:
        """Whether it always spreads its noise so."""
        return "use_karras_sigmas" in self.overrides

    def told(self, *, karras: bool = False, timestep_spacing: str | None = None) -> dict[str, Any]:
        """What it is told over the configuration of the checkpoint's own scheduler.

        Args:
            karras: As `Denoising` has it.
            timestep_spacing: Likewise; not passed on to one that spreads its steps in a way of its own.
        """
        spacing = {"timestep_spacing": timestep_spacing} if timestep_spacing and self.is_spaced else {}
        return {**self.overrides, **({"use_karras_sigmas": True} if karras else {}), **spacing}


_KARRAS: Mapping[str, Any] = {"use_karras_sigmas": True}
_SDE: Mapping[str, Any] = {"algorithm_type": "sde-dpmsolver++"}

# DDIM's and DDPM's defaults, meant for pixels, would clip latents to [-1, 1]; what they are told here is SDXL's own configuration.
SCHEDULERS: dict[str, Scheduler] = {
    "euler": Scheduler(
        class_name="EulerDiscreteScheduler",
        label="Euler",
        is_plain=True,
        is_evenly_spaced=True,
        takes_karras=True,
        is_spaced_with_karras=True,
        forgets=True,
    ),
    "euler_a": Scheduler(
        class_name="EulerAncestralDiscreteScheduler", label="Euler a", is_plain=True, is_evenly_spaced=True, also=("euler_ancestral",)
    ),
    "ddim": Scheduler(
        class_name="DDIMScheduler", label="DDIM", overrides={"clip_sample": False, "set_alpha_to_one": False}, is_plain=True, forgets=True
    ),
    "dpmpp_2m": Scheduler(class_name="DPMSolverMultistepScheduler", label="DPM++ 2M", is_plain=True, takes_karras=True),
    "dpmpp_2m_karras": Scheduler(
        class_name="DPMSolverMultistepScheduler", label="DPM++ 2M Karras", overrides=_KARRAS, is_plain=True, takes_karras=True, is_spaced=False
    ),
    "dpmpp_2m_sde": Scheduler(class_name="DPMSolverMultistepScheduler", label="DPM++ 2M SDE", overrides=_SDE, is_plain=True, takes_karras=True),
    "dpmpp_2s": Scheduler(
        class_name="DPMSolverSinglestepScheduler",
        label="DPM++ 2S",
        overrides={"lower_order_final": True},  # which it would choose itself, with a warning
        is_plain=True,
        takes_karras=True,
        is_spaced=False,
    ),
    "dpmpp_3m_sde": Scheduler(
        class_name="DPMSolverMultistepScheduler",
        label="DPM++ 3M SDE",
        overrides={**_SDE, "solver_order": 3},
        is_plain=True,
        takes_karras=True,
    ),
    "unipc": Scheduler(class_name="UniPCMultistepScheduler", label="UniPC", is_plain=True, takes_karras=True, also=("uni_pc",)),
    "deis": Scheduler(class_name="DEISMultistepScheduler", label="DEIS", is_plain=True, takes_karras=True),
    "heun": Scheduler(class_name="HeunDiscreteScheduler", label="Heun", takes_karras=True, is_spaced_with_karras=True),
    "kdpm2": Scheduler(class_name="KDPM2DiscreteScheduler", label="DPM2", takes_karras=True, is_spaced_with_karras=True, also=("dpm_2", "k_dpm_2")),
    "kdpm2_a": Scheduler(
        class_name="KDPM2AncestralDiscreteScheduler",
        label="DPM2 a",
        takes_karras=True,
        is_spaced_with_karras=True,
        also=("dpm_2_ancestral", "dpm2_a", "k_dpm_2_a"),
    ),
    "lms": Scheduler(
        class_name="LMSDiscreteScheduler", label="LMS", is_plain=True, takes_karras=True, is_spaced_with_karras=True, steps_without_karras=35
    ),
    "ddpm": Scheduler(class_name="DDPMScheduler", label="DDPM", overrides={"clip_sample": False}, is_plain=True),
    "lcm": Scheduler(class_name="LCMScheduler", label="LCM", is_spaced=False),
    "tcd": Scheduler(class_name="TCDScheduler", label="TCD", is_spaced=False, forgets=True),
}

REFUSED: Mapping[str, str] = {
    "pndm": "PNDM cannot be split at the hand-over from base to refiner; dpmpp_2m can",
    "plms": "PLMS is PNDM, which cannot be split at the hand-over from base to refiner; dpmpp_2m can",
    "dpmpp_sde": "DPM++ SDE takes its noise from the global generator, not from the seed; dpmpp_2m_sde does not",
    "dpm++ sde": "DPM++ SDE takes its noise from the global generator, not from the seed; dpmpp_2m_sde does not",
    "dpmpp_2s_ancestral": "the ancestral DPM++ 2S is not in diffusers; dpmpp_2s draws no noise, and euler_a and kdpm2_a do",
    "dpm++ 2s a": "the ancestral DPM++ 2S is not in diffusers; dpmpp_2s draws no noise, and euler_a and kdpm2_a do",
}
"""Schedulers that people ask for and that are not offered, and why."""


def karras_takers() -> list[str]:
    """Names of the schedulers that can spread their noise as Karras' schedule does, those that always do left out."""
    return [name for name, row in SCHEDULERS.items() if row.takes_karras and not row.is_karras]


_ABSENT = "that sampler is not there"
_ONE_SPREAD = "of schedule types Karras is there, as karras: true beside a scheduler, and SGM Uniform, as timestep_spacing: trailing"
_NOT_SAMPLERS: Mapping[str, str] = {
    "karras": "karras is a setting: karras: true beside a scheduler, such as dpmpp_2m",
    **dict.fromkeys(("sgm_uniform", "sgm uniform"), "that is a spacing: timestep_spacing: trailing beside a scheduler, such as euler"),
    **dict.fromkeys(("exponential", "polyexponential", "beta", "simple", "normal", "ddim_uniform", "kl_optimal", "align_your_steps"), _ONE_SPREAD),
    **dict.fromkeys(("dpm fast", "dpm_fast", "dpm adaptive", "dpm_adaptive", "restart", "heunpp2", "ipndm", "ipndm_v", "res_multistep"), _ABSENT),
    **dict.fromkeys(("dpm++ 2m sde heun", "dpmpp_2m_sde_heun", "gradient_estimation", "er_sde", "sa_solver", "uni_pc_bh2"), _ABSENT),
}
"""What else stands in other tools' lists of samplers or schedules, and what to say of it."""


def otherwise_called() -> dict[str, str]:
    """What to say of other names for schedulers, in lower case: those that are not offered, and other tools' and diffusers' of those that are."""
    classes = {row.class_name.casefold(): f"write {name}" for name, row in reversed(SCHEDULERS.items())}
    labels = {row.label.casefold(): f"write {name}" for name, row in SCHEDULERS.items()}
    others = {name: f"write {ours}" for ours, row in SCHEDULERS.items() for name in row.also}
    spread = {
        called: f"write {name}, and karras: true beside it"
        for name in karras_takers()
        for called in (f"{name}_karras", f"{SCHEDULERS[name].label.casefold()} karras")
    }
    refused = {f"{name}{suffix}": why for name, why in REFUSED.items() for suffix in ("", " karras", "_karras")}
    called = (*SCHEDULERS, *labels, *others, *REFUSED)
    exponential = {
        f"{name}{suffix}": f"the spread Exponential is not there; {_ONE_SPREAD}" for name in called for suffix in (" exponential", "_exponential")
    }
    known = exponential | spread | classes | others | labels | refused | dict(_NOT_SAMPLERS)
    return {called: said for called, said in known.items() if called not in SCHEDULERS}
