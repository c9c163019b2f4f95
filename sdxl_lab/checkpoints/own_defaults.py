"""Which settings suit a checkpoint, as far as its name and its configuration tell: nothing is downloaded, and no weights are read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path, PurePath
from typing import Any

from pydantic import ValidationError

from sdxl_lab.checkpoints.configurations import read_json
from sdxl_lab.checkpoints.files import PipelineFolder
from sdxl_lab.checkpoints.hub import HUB_ID, Repository
from sdxl_lab.checkpoints.locating import lender_of, locate
from sdxl_lab.checkpoints.single_files import Part, SingleFile
from sdxl_lab.checkpoints.weight_files import CheckpointError
from sdxl_lab.families import Distilled, family_of
from sdxl_lab.files.addresses import file_of, is_address
from sdxl_lab.settings.dilation import AUTO
from sdxl_lab.settings.hyperparams import merge, without
from sdxl_lab.settings.schedulers import SCHEDULERS
from sdxl_lab.settings.sections import Denoising
from sdxl_lab.spec.cautions import FewSteps, Traits
from sdxl_lab.spec.edit import Edit
from sdxl_lab.spec.identities import CheckpointIdentity
from sdxl_lab.spec.problems import problems
from sdxl_lab.spec.run_spec import SpecError
from sdxl_lab.tasks import TASKS

MOST_STEPS = 16
"""Most that a checkpoint is distilled to."""

OTHER_MEANINGS = frozenset(["turbo", "lightning", "hyper"])
"""Words of kinds that a style or a thing may be called by too."""

TURBO_SIDE = 64
"""Side of SDXL Turbo's latents, half of SDXL's."""

WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
COMMIT = re.compile(r"[0-9a-f]{40}")


def defaults(identity: CheckpointIdentity, release: str | None = None, *, task: str | None = None) -> dict[str, Any]:
    """The hyperparameters that suit a checkpoint, nested and sparse, over the library's.

    They are always the same keys, so that a run which names these has nothing left that a later version could fill in otherwise.

    Args:
        identity: Which checkpoint.
        release: Whose answer is wanted: `0.1.0`, which told no checkpoint but the pocket one apart, or None for today's.
        task: What it is to do; None for what suits the tasks that repaint.
    """
    is_first, family = release == "0.1.0", family_of(identity.family)
    suits, untaken = (dict(TASKS[task].suits), TASKS[task].untaken) if task else ({}, ())
    suits |= family.suits.get(TASKS[task].pipeline, {}) if task else {}
    few = None if is_first else few_steps(identity)
    usual = {"num_inference_steps": family.num_inference_steps, "strength": family.strength, "guidance_scale": family.guidance_scale}
    denoising = usual | {"scheduler": Denoising().scheduler, "timestep_spacing": None} | suits
    if few is not None:  # of so few steps a strength below 1 leaves out the first, the one that forgets what is under the mask
        own = {key: getattr(few, key) for key in ("num_inference_steps", "guidance_scale", "scheduler", "timestep_spacing")}
        denoising |= {"strength": 1.0} | suits | own
        if int(denoising["num_inference_steps"] * denoising["strength"]) < 1:
            denoising["strength"] = 1.0
    return without({"denoising": denoising, "mask": {"kernel_size": 1 if is_first else AUTO}}, untaken)


def suited(edit: Edit, identity: CheckpointIdentity) -> Edit:
    """Give an edit made by code what it leaves open, as parameters would: the checkpoint's own defaults, then the library's.

    The mask is not dilated unless the edit says so: code gives the very mask that it means.

    An edit that parameters made, or that was read from a record, leaves nothing open and stays as it is.

    Args:
        edit: What to paint.
        identity: With which checkpoint.

    Raises:
        SpecError: It is not valid, as a copy with changes may be.
    """
    try:
        brought = {"denoising": defaults(identity, task=edit.task)["denoising"]}
        return Edit.model_validate(merge({"settings": brought}, edit.model_dump(exclude_unset=True, warnings=False)))
    except ValidationError as error:
        raise SpecError(problems(error, Edit), f"the edit of sample {edit.sample!r}") from None


def few_steps(identity: CheckpointIdentity) -> FewSteps | None:
    """What a checkpoint was distilled to, or None if nothing says that it was.

    The name counts: of a repository, a file or a folder; and of a folder the names that its own files remember, and its scheduler. The files of
    a repository do not, since they may not be here yet, and the answer must be the same before and after.

    Args:
        identity: Which checkpoint.
    """
    distilled = family_of(identity.family).distilled
    if not distilled:
        return None
    configuration = _configuration(identity)
    unet, scheduler = (configuration.get(name, {}) for name in ("unet", "scheduler"))
    titles = [_title(identity.name), *(_title(str(part.get("_name_or_path", ""))) for part in configuration.values())]
    kind = _kind_in(titles, distilled) or _scheduled(scheduler, unet)
    if kind is None:
        return None
    made = _made(kind, titles, distilled)
    is_guided = unet.get("time_cond_proj_dim") is not None  # told the guidance, as latent consistency models were distilled
    is_trailing = scheduler.get("timestep_spacing") == "trailing"
    return replace(made, guidance_scale=7.5 if is_guided else made.guidance_scale, timestep_spacing=None if is_trailing else made.timestep_spacing)


def few_steps_by(what: str, titles: Sequence[str], family: str) -> FewSteps | None:
    """What something that is on a checkpoint's models was distilled to, or None if its names do not say that it was.

    Args:
        what: What it is called in a sentence.
        titles: Its names, the most telling first.
        family: The checkpoint's, as records have it.
    """
    distilled = family_of(family).distilled
    kind = _kind_in([title for title in titles if _is_of_steps(_words(title))], distilled)
    if kind is None or any("cfg" in _words(title) for title in titles):  # of Hyper-SD some take guidance as ever, and say so
        return None
    return replace(_made(kind, titles, distilled), what=what)


def _is_of_steps(words: list[str]) -> bool:
    """Whether words that name a kind mean it, where lightning may also be what is in the picture."""
    beside = {word for pair in pairwise(words) if not OTHER_MEANINGS.isdisjoint(pair) for word in pair}
    return OTHER_MEANINGS.isdisjoint(words) or not beside.isdisjoint({"sd", "xl", "sdxl"}) or _stated(words) is not None


def _kind_in(titles: Sequence[str], distilled: Mapping[str, Distilled]) -> str | None:
    return next((kind for title in titles if (kind := _named(_words(title), distilled))), None)


def _made(kind: str, titles: Sequence[str], distilled: Mapping[str, Distilled]) -> FewSteps:
    """How those of a kind are used, in as many steps as the names state."""
    made = distilled[kind]
    return FewSteps(
        kind=kind,
        num_inference_steps=next((steps for title in titles if (steps := _stated(_words(title)))), made.num_inference_steps),
        guidance_scale=made.guidance_scale,
        scheduler=made.scheduler,
        schedulers=(made.scheduler, *made.schedulers) if made.scheduler == "lcm" else (),
        timestep_spacing="trailing" if SCHEDULERS[made.scheduler].is_spaced else None,
    )


def traits(identity: CheckpointIdentity, *, area: int | None = None) -> Traits:
    """What is known of a checkpoint before its weights are loaded, for `cautions`; nothing is asked of the hub.

    Args:
        identity: Which checkpoint. If its files are no longer here, little is known.
        area: Pixels it was trained at, as its `Outline` has them.
    """
    few, refiner_from = few_steps(identity), family_of(identity.family).refiner_from
    try:
        source = locate(identity.name, identity.revision)
        in_channels = source.base.in_channels if isinstance(source.base, SingleFile) else None
        base, refiner = _described(source.base, identity.family), _described(source.refiner, identity.family)
    except CheckpointError:
        return Traits(area=area, few_steps=few, refiner_from=refiner_from)
    return traits_of(
        base.get("unet", {"in_channels": in_channels}),
        base.get("scheduler", {}),
        refiner.get("scheduler", {}),
        area=area,
        few_steps=few,
        refiner_from=refiner_from,
        has_refiner=source.refiner is not None,
        refiner_takes_scores=refiner.get("index", {}).get("requires_aesthetics_score"),
    )


def traits_of(
    unet: Mapping[str, Any], scheduler: Mapping[str, Any], of_refiner: Mapping[str, Any], *, few_steps: FewSteps | None, **others: Any
) -> Traits:
    """What the configurations of a base's UNet and of its scheduler say, for `cautions`.

    Args:
        unet: Of the UNet; empty where it is not known, likewise `scheduler`.
        scheduler: Of the scheduler.
        of_refiner: Of the refiner's scheduler, if there is one.
        few_steps: As `few_steps` has it.
        **others: Of the base's size and of the refiner, as `Traits` has it.
    """
    spacing = scheduler.get("timestep_spacing")
    noisier = scheduler.get("rescale_betas_zero_snr") or scheduler.get("prediction_type", "epsilon") != "epsilon"  # trailing, for their own reasons
    return Traits(
        in_channels=unet.get("in_channels"),
        embeds_guidance=unet.get("time_cond_proj_dim") is not None if "in_channels" in unet else None,
        timestep_spacing=spacing,
        prediction=scheduler.get("prediction_type", "epsilon") if scheduler else None,
        few_steps=few_steps,
        is_scheduled_alike=_told(scheduler) == _told(of_refiner) if scheduler and of_refiner else None,
        may_be_few_steps=few_steps is None and spacing == "trailing" and not noisier,
        **others,
    )


def _told(scheduler: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without what diffusers notes in it of itself."""
    return {key: value for key, value in scheduler.items() if not key.startswith("_")}


def _configuration(identity: CheckpointIdentity) -> Mapping[str, Mapping[str, Any]]:
    """What the files of a folder's base say of it; nothing of any other checkpoint."""
    try:
        base = locate(identity.name, identity.revision).base
    except CheckpointError:
        return {}
    return _described(base, identity.family) if isinstance(base, PipelineFolder) else {}


def _described(part: Part | Repository | None, family: str) -> Mapping[str, Mapping[str, Any]]:
    """What the files of a base or refiner say of it, as far as they are here."""
    folder = part.path if isinstance(part, PipelineFolder) else part.cached() if isinstance(part, Repository) else None
    if isinstance(part, SingleFile):
        folder = lender_of(part, family).configuration
    files = {"index": "model_index.json", "unet": "unet/config.json", "scheduler": "scheduler/scheduler_config.json"}
    read = {name: _json(folder / file) for name, file in files.items()} if folder else {}
    if isinstance(part, SingleFile):
        read["scheduler"] = {**read.get("scheduler", {}), **({"prediction_type": None} if part.asks_for_prediction else {}), **part.scheduling}
    return {name: content for name, content in read.items() if content}


def _json(path: Path) -> Mapping[str, Any]:
    try:
        return read_json(path)
    except CheckpointError:
        return {}


def _title(name: str) -> str:
    """The part of a path, a hub id or what an address gave that people name a checkpoint by."""
    if is_address(name):
        fetched = file_of(name)
        return fetched.name if fetched else ""
    hub_id = HUB_ID.fullmatch(name)
    parts = PurePath(hub_id[1] if hub_id else name).parts
    return next((part for part in reversed(parts) if part not in ("base", "unet", "snapshots") and not COMMIT.fullmatch(part)), "")


def _words(title: str) -> list[str]:
    """Its words, also where they are told apart by capitals or digits alone."""
    return [word.lower() for word in WORD.findall(title)]


def _named(words: list[str], distilled: Mapping[str, Distilled]) -> str | None:
    """The kind that words name; not those of `HyperRealistic` or `non-turbo`."""
    for before, word, after in zip(["", *words], words, [*words[1:], ""], strict=False):
        if word in distilled and before not in ("no", "non", "not") and not (word == "hyper" and after.startswith("real")):
            return word
    return None


def _stated(words: list[str]) -> int | None:
    """The number of steps that words state, as `4step` does; steps of training are more."""
    numbers = (int(number) for number, word in pairwise(words) if word in ("step", "steps") and number.isdecimal())
    return next((number for number in numbers if 1 <= number <= MOST_STEPS), None)


def _scheduled(scheduler: Mapping[str, Any], unet: Mapping[str, Any]) -> str | None:
    """The kind that a scheduler was published with, or that a UNet which is told its guidance is of."""
    if scheduler.get("_class_name") in ("LCMScheduler", "TCDScheduler") or unet.get("time_cond_proj_dim") is not None:
        return "lcm"
    ancestral = scheduler.get("_class_name") == "EulerAncestralDiscreteScheduler" and scheduler.get("timestep_spacing") == "trailing"
    return "turbo" if ancestral and unet.get("sample_size") == TURBO_SIDE else None
