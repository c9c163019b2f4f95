"""A study's key → what judges are shown of it: no name, no setting, no system."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sdxl_lab.records.picture import Picture
from sdxl_lab.studies.trials import QUESTIONS, Study, sha256_at
from sdxl_lab.tasks import INPUT, MASK

HELD = (INPUT.name, MASK.name)
"""What a judge can look at beside the results, where all pictures of a trial have it in common."""
TOGETHER = "Which picture is the best?"
AMONG_MORE = {"better": TOGETHER, "prompt": "Which picture fits the prompt best?", "edit": "Which edit is the cleanest?"}
"""What is asked where there are more than two."""


def content_of(study: Study, pictures: Mapping[str, Picture]) -> tuple[dict[str, Any], dict[str, Path]]:
    """Put together what the page says, but for the pictures themselves.

    Args:
        study: The key.
        pictures: Name to picture as it was recorded.

    Returns:
        Plain values for JSON; and the PNGs of all that is shown, by names that say nothing: the pictures, and the inputs and masks that all
        pictures of a trial have in common.
    """
    files = {name: picture.image for name, picture in pictures.items()}
    trials = []
    for trial in sorted(study.trials, key=lambda trial: trial.trial):  # by random names: no order in which anything was chosen
        of = [pictures[name] for name in trial.pictures]
        prompts = {picture.prompt for picture in of}
        about = {
            "trial": trial.trial,
            "pictures": list(trial.pictures),
            "mirrors": trial.mirrors,
            "sizes": [[picture.width, picture.height] for picture in of],
            "prompt": of[0].prompt if study.question != "better" and len(prompts) == 1 else None,
        }
        for role in HELD:
            if sha256 := _in_common(of, role):
                about[role] = f"b{hashlib.sha256(f'{study.study} {sha256}'.encode()).hexdigest()[:12]}"
                files.setdefault(about[role], of[0].files[role])
        trials.append({name: value for name, value in about.items() if value is not None})
    question = QUESTIONS[study.question] if len(study.trials[0].pictures) == 2 else AMONG_MORE[study.question]
    return {"study": study.study, "digest": study.digest, "question": question, "trials": trials}, dict(sorted(files.items()))


def _in_common(pictures: Sequence[Picture], role: str) -> str | None:
    """The sha256 of what all have in a role, if its pixels are the same; a mask that one setting grew would tell which that is."""
    found = {sha256_at(picture.files[role]) if role in picture.files else None for picture in pictures}
    return found.pop() if len(found) == 1 else None
