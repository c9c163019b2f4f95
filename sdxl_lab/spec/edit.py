"""One picture to make: sample, task, words, seed, and every setting."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated, Any

from pydantic import ValidationInfo, field_validator

from sdxl_lab.prompts.reading import may_need_compel, require_compel
from sdxl_lab.settings.documents import Neutral
from sdxl_lab.settings.hyperparams import without
from sdxl_lab.settings.sections import EditSettings, Seed, Settings, Text
from sdxl_lab.spec.task_names import TaskName
from sdxl_lab.tasks import TASKS

PictureKey = tuple[str, str, int]
"""Sample, task and seed, which name a picture within its run."""


def apart(name: str, mark: str, seed: int, ordinal: int) -> str:
    """Tell the pictures of one sample and task apart by their seeds.

    Args:
        name: What the first of them is called.
        mark: Stands before the seed.
        seed: Of the picture.
        ordinal: Its place among them, from 0.

    Returns:
        The name itself for the first one, so that a run of one seed has plain names; such as `inpaint-s7` for the others.
    """
    return f"{name}{mark}s{seed}" if ordinal else name


class Edit(Settings):
    """One picture to make.

    Attributes:
        sample: Name of the sample it starts from.
        task: One of `sdxl_lab.tasks.TASKS`, which may choose settings that are left open.
        prompt: The text to paint.
        negative_prompt: The text to lead away from, or None, which is not the empty text.
        seed: From -2**63 to 2**64 - 1, as torch takes it.
        settings: Everything else it depends on.
        compel: The version of compel that reads its prompts, where that may make a difference; None elsewhere.
    """

    sample: Text
    task: TaskName
    prompt: Text
    negative_prompt: Text | None = None
    seed: Seed
    settings: EditSettings
    compel: Annotated[Text | None, Neutral(None, since="0.2.0")] = None

    @property
    def key(self) -> PictureKey:
        """Sample, task and seed, which name it within its run."""
        return self.sample, self.task, self.seed

    @field_validator("settings")
    @classmethod
    def _fit_to_task(cls, settings: EditSettings, info: ValidationInfo) -> EditSettings:
        """Choose what is left open, and refuse what does not fit the task."""
        task = TASKS.get(info.data.get("task", ""))  # absent where it is no task
        if task is None:
            return settings
        return task.fit(settings if task.is_first else task.only_taken(settings))

    @property
    def unsaid(self) -> Collection[str]:
        """Settings that its task does not take; none of one of 0.1.0's, which wrote all that it knew."""
        return [f"settings.{path}" for path in self._untaken]

    def taken(self) -> dict[str, Any]:
        """Its settings, nested and plain, less those that its document leaves out."""
        return without(self.settings.model_dump(mode="json"), self._untaken)

    @property
    def _untaken(self) -> Sequence[str]:
        task = TASKS[self.task]
        return () if task.is_first else task.untaken


def read_here(edit: Edit) -> Edit:
    """Note the version of compel that reads an edit's prompts here, which names the picture where compel may read anything but text in them.

    Args:
        edit: The picture to make.

    Raises:
        PromptError: compel is needed, and is not installed.
    """
    settings, texts = edit.settings, (edit.prompt, edit.negative_prompt or "")
    is_needed = any(may_need_compel(text, syntax=settings.prompt_syntax, long_prompt=settings.long_prompt) for text in texts)
    version = require_compel() if is_needed else None
    return edit if version == edit.compel else edit.model_copy(update={"compel": version})
