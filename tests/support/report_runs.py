"""A sweep over three settings for reports: pictures made without a model, one run failed, one never begun."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sdxl_lab.records.folder import RunFolder
from sdxl_lab.spec.edit import Edit
from sdxl_lab.spec.generated import Generated
from sdxl_lab.spec.resolved_spec import ResolvedSpec
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.viewing.report import Missing
from tests.support.runs import generated
from tests.support.specs import make_edit, resolved_of

GUIDANCE = (2.0, 5.0, 9.0)
STEPS = (10, 30)
FRACS = (None, 0.8)
HOSTILE = "a red octopus </script><script>document.title = 'taken'</script> <!-- & \"{{data}}\""
FAILED, NEVER_BEGUN = (5.0, 30, 0.8), (9.0, 10, None)
WHY = "ExperimentError: the kernel died </p><b>twice</b>\nsecond line"
WORDS: tuple[tuple[str, str, str, int], ...] = (
    ("octopus", "inpaint", HOSTILE, -732),
    ("octopus", "outpaint", "an octopus in a library", 5),
    ("café au lait", "inpaint", "a cup on “sand”", 2**63),
    ("café au lait", "outpaint", "a café, at night", 2**63 + 1),
)


def planned(
    runs_folder: Path, guidance: float, steps: int, frac: float | None, words: tuple[tuple[str, str, str, int], ...] = WORDS, **settings: Any
) -> ResolvedSpec:
    """One run of the sweep, or with other settings."""
    spec = RunSpec.from_parameters(
        name=f"guidance_{guidance:g}-steps_{steps}-frac_{frac}",
        dataset="pocket-scenes",
        checkpoint="pocket",
        hyperparameters={"denoising": {"guidance_scale": guidance, "num_inference_steps": steps, "high_noise_frac": frac}, **settings},
        tracking="off",
        runs_folder=str(runs_folder),
    )
    return resolved_of(spec, tuple(make_edit(spec, *picture) for picture in words))


def drawn(edit: Edit, side_px: int = 128) -> Generated:
    """A picture whose look tells its settings: rings by the steps, color by the guidance, a stripe with a refiner."""
    denoising = edit.settings.denoising
    rows, columns = np.mgrid[:side_px, :side_px] * (128 / side_px)
    start = sum(edit.sample.encode())
    ground = np.stack([rows + start % 97, columns + start % 31, 255 - (rows + columns) / 2], -1).clip(0, 255)
    distance = np.hypot(rows - 64, columns - 64)
    mask = (distance < 40) == (edit.task == "inpaint")
    color = np.array([255 * denoising.guidance_scale / 10, 90, 255 - 25 * denoising.guidance_scale])
    rings = 0.5 + 0.5 * np.cos(distance * denoising.num_inference_steps / 40)
    painted = color * rings[..., None] + (30 if edit.task == "outpaint" else 0)
    if denoising.high_noise_frac:
        painted[np.abs(rows - columns) < 6] = 255
    result = np.where(mask[..., None], painted, ground).clip(0, 255).astype(np.uint8)
    if edit.settings.mode == "canvas":
        side = edit.settings.canvas.left_px
        ground, result = (np.pad(pixels, ((0, 0), (side, 0), (0, 0)), mode="reflect") for pixels in (ground.clip(0, 255), result))
        mask = np.arange(ground.shape[1]) < side + np.zeros((len(ground), 1))
    before, masked = Image.fromarray(ground.astype(np.uint8)), Image.fromarray(mask.astype(np.uint8) * 255)
    return generated(Image.fromarray(result), before, masked, edit)


def recorded(resolved: ResolvedSpec, count: int | None = None, side_px: int = 128) -> RunFolder:
    """Record a run, or its first pictures."""
    run = RunFolder.of(resolved)
    with run.open(resolved):
        for edit in run.pending()[:count]:
            made = replace(drawn(edit, side_px), base_steps=edit.settings.denoising.num_inference_steps, refiner_steps=0)
            guidance = edit.settings.denoising.guidance_scale
            numbers = {"change_outside_max": 0.0, "seam_delta_e": guidance / 3, "ssim_outside": 1 - guidance / 70, "peak_memory_bytes": 2.5 * 2**30}
            run.add_picture(edit, made, numbers)
        if count is None:
            run.finish()
    return run


def sweep_of_three(runs_folder: Path) -> tuple[list[RunFolder], list[Missing]]:
    """Twelve runs: ten whole, one that failed after its first picture, one never begun."""
    runs, missing = [], []
    for guidance, steps, frac in product(GUIDANCE, STEPS, FRACS):
        resolved = planned(runs_folder, guidance, steps, frac)
        if (guidance, steps, frac) == NEVER_BEGUN:
            missing.append(Missing(resolved=resolved))
            continue
        failed = (guidance, steps, frac) == FAILED
        runs.append(recorded(resolved, 1 if failed else None))
        if failed:
            missing.append(Missing(resolved=resolved, message=WHY))
    return runs, missing
