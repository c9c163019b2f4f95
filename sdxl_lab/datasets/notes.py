"""What is to be said before pictures are made: of the samples they are made from, and gathered so that each line is said once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sdxl_lab.datasets.samples import Sample
from sdxl_lab.images.mask_checks import CUT_AT_HALF, percent
from sdxl_lab.settings.sections import ImageReading
from sdxl_lab.tasks import TASKS
from sdxl_lab.wording import counted, printable

UNREADABLE = "that cannot be read"
"""What `color_profiles.name_of` calls a profile that it cannot open."""

MUCH_LARGER = 2.0
"""How many times as wide a picture is as what a model sees of it, before that is said."""

MUCH_STRETCHED = 1.1
"""How much wider or higher than it is a picture is seen, before that is said; rounding to whole latent cells makes less."""

_SHOWN_NAMES = 5


def gathered(notes: Mapping[str, Sequence[str]]) -> list[str]:
    """Say each note once.

    Args:
        notes: Name of a picture, of a sample or of a run, to what is to be said of it.

    Returns:
        One line a note, with the first name and how many more it is about.
    """
    about: dict[str, list[str]] = {}
    for name, lines in notes.items():
        for line in lines:
            about.setdefault(line, []).append(name)
    return [f"{names[0]}{f' and {len(names) - 1} more' if names[1:] else ''}: {line}" for line, names in about.items()]


def of_samples(
    samples: Sequence[Sample],
    readings: Mapping[str, ImageReading] | None = None,
    masked: Collection[str] | None = None,
    cut: Collection[str] | None = None,
) -> tuple[str, ...]:
    """Say what of the samples' files makes another picture than one may think, though it is no fault.

    Args:
        samples: As they were fetched.
        readings: How their pictures are read, by sample's name; by the defaults when left out.
        masked: Names of the samples whose masks are read; all when left out.
        cut: Names of those whose masks are cut at half; all when left out.

    Returns:
        One line each: about color profiles one for all samples, then what is to be said of single ones.
    """
    read = readings or {}
    named = {
        sample.name: _notes(
            sample,
            read.get(sample.name, ImageReading()),
            is_masked=masked is None or sample.name in masked,
            is_cut=cut is None or sample.name in cut,
        )
        for sample in samples
    }
    return (*_about_profiles(samples, read), *gathered({printable(name): lines for name, lines in named.items()}))


def without_prompt(pairs: Sequence[tuple[Sample, str]]) -> list[str]:
    """Say what is left out for want of words.

    Args:
        pairs: Sample and task. Of a task that needs a picture nothing is said where there is none: words alone would not help.

    Returns:
        One line a task.
    """
    advice = "give one in metadata.json, or as hyperparameters"
    return _of_pairs([(sample, f"no prompt for {task}, so that is left out; {advice}.{task}.prompt") for sample, task in pairs if sample.suits(task)])


def without_picture(pairs: Sequence[tuple[Sample, str]]) -> list[str]:
    """Say which words of samples nothing can be made of, for want of a picture.

    Args:
        pairs: Sample and task.

    Returns:
        One line a task.
    """
    advice = 'name its file as "image" in metadata.json'
    return _of_pairs([(sample, f"words for {task}, which needs a picture, and there is none; {advice}") for sample, task in pairs])


def of_sizes(sizes: Sequence[tuple[str, bool, tuple[int, int], tuple[int, int]]], *, known: str = "") -> list[str]:
    """Say which pictures are much larger than what a model sees of them.

    Args:
        sizes: Of each picture its task, whether a crop around its mask may be advised, its own size and the working size, (width, height) in pixels.
        known: What the checkpoint knows, where that is a world of its own, whose pictures are no larger; as a sentence.

    Returns:
        At most one line about pictures whose mask is repainted, one about others that are repainted in part, one about those that are made anew, and
        `known` where there is any of these.
    """
    lines = []
    in_part = "what is painted is scaled up {:.1f} times, softer than the rest"
    for is_part, may_crop, what, remedy in (
        (True, True, in_part, "set crop.padding_mask_crop, such as 32: the models then see what is around the mask alone, as large as they work"),
        (True, False, in_part, "crop the pictures closer around what is edited"),
        (False, False, "scaled up {:.1f} times, softer than they were", "ask for a size, which is then the result's too"),
    ):
        pairs = [(own, working) for task, may, own, working in sizes if (TASKS[task].area is not None, may) == (is_part, may_crop)]
        large = {(own, working): own[0] / working[0] for own, working in pairs if own[0] * own[1] > MUCH_LARGER**2 * working[0] * working[1]}
        if not large:
            continue
        ((width, height), (seen_width, seen_height)), scale = max(large.items(), key=lambda item: item[1])
        made = "edited" if is_part else "made anew"
        seen = f"pictures of up to {width}x{height} are {made} at {seen_width}x{seen_height}"
        lines.append(f"{seen}, and {what.format(scale)}; for sharper ones {remedy}")
    return [*lines, known] if lines and known else lines


def of_aspects(asked: Sequence[tuple[tuple[int, int], tuple[int, int]]]) -> list[str]:
    """Say which pictures models see in another shape than their own, as a size asks.

    Args:
        asked: Of each picture its own size and the one that was asked for, (width, height) in pixels.

    Returns:
        At most one line.
    """
    for (width, height), (seen_width, seen_height) in asked:
        if not 1 / MUCH_STRETCHED < (seen_width * height) / (seen_height * width) < MUCH_STRETCHED:
            return [
                f"pictures of {width}x{height} are seen at {seen_width}x{seen_height}, as hyperparameters.size asks, and so stretched; crop them to "
                "that shape, or ask for another"
            ]
    return []


def _of_pairs(said: Sequence[tuple[Sample, str]]) -> list[str]:
    lines: dict[str, list[str]] = {}
    for sample, line in said:
        lines.setdefault(printable(sample.name), []).append(line)
    return gathered(lines)


def _about_profiles(samples: Sequence[Sample], readings: Mapping[str, ImageReading]) -> list[str]:
    profiles = [
        sample.facts.color_profile
        for sample in samples
        if sample.facts.color_profile
        and "color_profile" in sample.facts.readings
        and readings.get(sample.name, ImageReading()).color_profile == "srgb"
    ]
    if not profiles:
        return []
    names = [printable(name) for name in dict.fromkeys(profiles)]
    listed = ", ".join(names[:_SHOWN_NAMES]) + (f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else "")
    return [
        f"{counted(len(profiles), 'picture has', 'pictures have')} a color profile ({listed}) and "
        f"{'is' if len(profiles) == 1 else 'are'} converted to sRGB; "
        "hyperparameters.image.color_profile ignore takes the numbers as they are"
    ]


def _notes(sample: Sample, reading: ImageReading, *, is_masked: bool, is_cut: bool) -> list[str]:
    facts = sample.facts
    notes = []
    if facts.color_profile == UNREADABLE:
        notes.append("the picture's color profile cannot be read, so its numbers are taken as sRGB; save it as sRGB if its colors are off")
    if facts.doubt:
        notes.append(f"{facts.doubt}, and the picture is taken as sRGB all the same; convert it to sRGB first")
    if facts.transparent_share:
        notes.append(
            f"{percent(facts.transparent_share)} of the picture is transparent, and laid over {reading.background}; "
            "hyperparameters.image.background takes another color"
        )
    of_mask = sample.mask_check.notes if is_masked and sample.mask_check else ()
    return notes + [note for note in of_mask if is_cut or note != CUT_AT_HALF]
