"""What other tools call things: tables of the names that the gate knows."""

from __future__ import annotations

from textwrap import fill

from docs.making.markdown import coded, table
from sdxl_lab.settings.schedulers import REFUSED, SCHEDULERS, karras_takers
from sdxl_lab.spec.elsewhere import ELSEWHERE, NOT_HERE
from sdxl_lab.spec.homes import home_of
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.tasks import TASKS

COMFYUI: dict[str, tuple[str, ...]] = {
    "euler": ("euler", "normal"),
    "euler_a": ("euler_ancestral", "normal"),
    "ddim": ("ddim", "normal"),
    "dpmpp_2m": ("dpmpp_2m", "normal"),
    "dpmpp_2m_karras": ("dpmpp_2m", "karras"),
    "dpmpp_2m_sde": ("dpmpp_2m_sde", "normal"),
    "dpmpp_2s": (),
    "dpmpp_3m_sde": ("dpmpp_3m_sde", "normal"),
    "unipc": ("uni_pc", "normal"),
    "deis": ("deis", "normal"),
    "heun": ("heun", "normal"),
    "kdpm2": ("dpm_2", "normal"),
    "kdpm2_a": ("dpm_2_ancestral", "normal"),
    "lms": ("lms", "normal"),
    "ddpm": ("ddpm", "normal"),
    "lcm": ("lcm", "normal"),
    "tcd": (),
}
"""Our scheduler to ComfyUI's sampler and scheduler; to nothing where it has none."""


def schedulers() -> str:
    """Each scheduler, and what the others call it."""
    rows = [
        (
            f"`{name}`",
            row.label,
            " + ".join(f"`{word}`" for word in COMFYUI[name]) if name in COMFYUI else "",
            f"`{row.class_name}`" + "".join(f", `{key}={value!r}`" for key, value in row.overrides.items()),
        )
        for name, row in SCHEDULERS.items()
    ]
    reasons: dict[str, list[str]] = {}
    for name, why in REFUSED.items():
        reasons.setdefault(why, []).append(f"`{name}`")
    karras = (
        f"`denoising.karras` spreads noise as their Karras does, for {', '.join(f'`{name}`' for name in karras_takers())}: there the schedule type "
        "Karras, in ComfyUI the scheduler `karras`, in diffusers `use_karras_sigmas=True`."
    )
    spacing = (
        "`denoising.timestep_spacing` is diffusers' of that name; `trailing` lies within a timestep of where `sgm_uniform` (SGM Uniform) lies in the "
        "other two."
    )
    refused = [f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} not offered: {why}." for why, names in reasons.items()]
    notes = "".join(fill(f"- {line}", 120, subsequent_indent="  ") + "\n" for line in (karras, spacing, *refused))
    return f"{table(('here', 'AUTOMATIC1111', 'ComfyUI (sampler + scheduler)', 'diffusers'), rows)}\n{notes}"


def answered() -> str:
    """Names of other tools, and the setting with which each is answered, or what is said of it."""
    homes = {name: f"`{home_of(name, RunSpec)}`" for name in ELSEWHERE}
    tasks = {name: f"the task `{task.name}`" for task in TASKS.values() for name in task.elsewhere}
    rows: dict[str, list[str]] = {}
    for name, said in (homes | tasks | {name: coded(why) for name, why in NOT_HERE.items()}).items():
        rows.setdefault(said, []).append(f"`{name}`")
    return table(("written", "here"), [(", ".join(names), said) for said, names in rows.items()])
