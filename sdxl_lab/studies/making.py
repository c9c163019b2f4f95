"""Runs → a preference study: its key and the page that judges see, in a folder."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

from sdxl_lab.files import places
from sdxl_lab.files.disk import write_whole
from sdxl_lab.progress import signs
from sdxl_lab.records.finding import RunLike, each_of, recorded_at
from sdxl_lab.records.machine import versions
from sdxl_lab.records.picture import Picture
from sdxl_lab.settings.hyperparams import closest
from sdxl_lab.studies.asked import told_of
from sdxl_lab.studies.choosing import Possible, chosen, repeated
from sdxl_lab.studies.made import MadeStudy
from sdxl_lab.studies.page import page_of
from sdxl_lab.studies.pictures import encoded
from sdxl_lab.studies.shown import content_of
from sdxl_lab.studies.systems import Found, Place, found_at
from sdxl_lab.studies.trials import FILE, PAGE, QUESTIONS, Question, ShownPicture, Study, StudyError, System, Trial
from sdxl_lab.tasks import INPUT
from sdxl_lab.wording import counted

MOST_ASKED = 100
"""Trials that a judge is asked where nobody says how many, repeats aside: about a quarter of an hour."""
MOST_TOGETHER = 9
"""As many as there are keys for."""
ROLES: Mapping[Question, tuple[str, ...]] = {"better": (), "prompt": (), "edit": (INPUT.name,)}
"""What a picture must have been made from for a question."""


def study(
    runs: Iterable[RunLike | Path | str] | RunLike | Path | str,
    output: Path | str = "study",
    *,
    question: Question = "better",
    pairs: int | None = None,
    seed: int = 0,
    together: int = 2,
    repeat: float = 0.1,
) -> MadeStudy:
    """Make a preference study of recorded pictures, or open one: which of two pictures is better, asked of people who do not know what made them.

    Pictures of one sample, task and seed, made by different settings, are shown side by side. What differs between them makes the systems that
    are compared; every pair of these and every sample is asked about as equally often as can be. `index.html` in the study's folder is all that
    a judge needs; nothing in it says which picture is which. `study.json` beside it does, so keep that to yourself.

    Args:
        runs: Folders of runs, sweeps and sessions, or folders above some; or the folder of a study, which is opened as it is.
        output: The study's folder, which must not be there yet.
        question: `better`, `prompt` (which fits the prompt better) or `edit` (which edit is cleaner).
        pairs: How many times judges choose, repeats aside; all that there are, 100 at most, if None.
        seed: By which is drawn what is shown.
        together: How many pictures are shown at a time, from 2 to 9.
        repeat: Share of what is asked a second time, the other way round, from 0 to 1: how far judges agree with themselves.

    Returns:
        The study. As the value of a notebook's cell it is the page, and what is answered there is kept in the study's folder.

    Raises:
        StudyError: A value is not allowed, or the runs have nothing to compare.
        RecordError: A path holds no record.
        DiskError: The disk is full or not writable.

    Examples:
        With the runs of the example of `compare`:

        >>> study([resolved.folder, longer.folder], runs / "study")
        <MadeStudy ...study: 2 systems, 1 pair, 1 of them again>
    """
    if isinstance(runs, Path | str) and ((place := Path(runs).expanduser()) / FILE).is_file():
        return MadeStudy(place)
    given = [Path(each).expanduser() if isinstance(each, Path | str) else each for each in each_of(runs)]
    _check_given(path for path in given if isinstance(path, Path))
    folder = Path(output).expanduser()
    _check(folder, question, pairs, together, repeat)
    with signs.shown():
        found = found_at(given, by_prompt=question == "prompt", roles=ROLES[question])
        looks = {
            place: Possible(sample=place.sample, looks={label: picture.sha256 for label, picture in by_system.items()})
            for place, by_system in found.pictures.items()
        }
        taken = chosen(looks, together=together, count=pairs or MOST_ASKED, seed=seed)
        if not taken:
            raise _nothing(found, together)
        key, pictures = _key_of(found, taken, folder, question=question, seed=seed, repeat=repeat)
        content, files = content_of(key, pictures)
        sources, said = encoded(files)
        page = page_of(content | {"files": sources})
        key.write(folder)
        write_whole(folder / PAGE, page.encode())
    return MadeStudy(folder, notes=(*found.notes, *told_of(key, pairs), f"the page shows pictures {said}, and takes {len(page) / 2**20:.1f} MiB"))


def _check_given(paths: Iterable[Path]) -> None:
    """Refuse what is not there, and a study itself, before the folder that a study is made in is looked at."""
    for path in paths:
        if not path.exists():
            recorded_at([path])  # says what to give
        if (path / FILE).is_file():
            raise StudyError(
                f"{path} is a study itself: its page is {path / PAGE}, and `sdxl-lab study result {path}` counts its votes; "
                "for another one give the runs that it is of"
            )


def _check(folder: Path, question: str, pairs: int | None, together: int, repeat: float) -> None:
    """Refuse what is not allowed before anything is read."""
    if question not in get_args(Question):
        hint = f" Did you mean {near}?" if (near := closest(question, list(QUESTIONS))) else ""
        raise StudyError(f"question: got {question!r}; allowed are {', '.join(QUESTIONS)}.{hint}")
    if pairs is not None and pairs < 1:
        raise StudyError(f"pairs: got {pairs}; allowed is a whole number, 1 or more, or nothing for all that there are, {MOST_ASKED} at most")
    if not 2 <= together <= MOST_TOGETHER:
        raise StudyError(f"together: got {together}; allowed is a whole number from 2 to {MOST_TOGETHER}")
    if not 0 <= repeat <= 1:
        raise StudyError(f"repeat: got {repeat}; allowed is a share from 0 to 1, such as 0.1")
    if reason := places.unmakeable(folder):
        raise StudyError(f"the study's folder: got {str(folder)!r}, and {reason}")
    if folder.is_dir() and any(folder.iterdir()):
        is_what = "holds a study already" if (folder / FILE).is_file() else "is there and not empty"
        raise StudyError(f"the study's folder: {folder} {is_what}; choose another (-o FOLDER), since the votes for a study are of that one alone")


def _nothing(found: Found, together: int) -> StudyError:
    most = max(len(by_system) for by_system in found.pictures.values())
    if most < together:
        return StudyError(f"together: got {together}, and no sample, task and seed has pictures of more than {counted(most, 'system')}; take {most}")
    return StudyError("all pictures that could be shown together are the same to the last pixel; give runs whose settings change what is made")


def _key_of(
    found: Found, taken: list[tuple[Place, tuple[str, ...]]], folder: Path, *, question: Question, seed: int, repeat: float
) -> tuple[Study, Mapping[str, Picture]]:
    """The key, and the recorded pictures by the names that they have in it."""
    names: dict[tuple[Place, str], str] = {}
    trials = [Trial(trial=_named("t"), pictures=tuple(names.setdefault((place, one), _named("p")) for one in systems)) for place, systems in taken]
    again = [
        Trial(trial=_named("t"), pictures=trials[index].pictures[::-1], mirrors=trials[index].trial) for index in repeated(len(trials), repeat, seed)
    ]
    systems = dict.fromkeys(label for label in found.settings if any(label == of for _, of in names))
    key = Study(
        study=secrets.token_hex(8),
        version=versions().get("sdxl_lab", ""),
        question=question,
        seed=seed,
        systems={
            label: System(runs=tuple(_seen_from(folder, path) for path in found.folders[label]), settings=found.settings[label]) for label in systems
        },
        pictures={name: _shown(found.pictures[place][label], place, label, folder) for (place, label), name in names.items()},
        trials=(*trials, *again),
    )
    return key, {name: found.pictures[place][label] for (place, label), name in names.items()}


def _shown(picture: Picture, place: Place, label: str, folder: Path) -> ShownPicture:
    values: dict[str, Any] = {"sample": place.sample, "task": place.task, "seed": place.seed}
    return ShownPicture(system=label, picture=_seen_from(folder, picture.image), sha256=picture.sha256, **values)


def _seen_from(folder: Path, path: Path) -> str:
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()


def _named(kind: str) -> str:
    return kind + secrets.token_hex(6)
