"""What is to be said before pictures are made: of the samples they are made from, and gathered so that each line is said once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sdxl_lab.mask_checks import percent
from sdxl_lab.samples import Sample
from sdxl_lab.settings import ImageReading
from sdxl_lab.stamps import printable
from sdxl_lab.wording import counted

UNREADABLE = "that cannot be read"
"""What `color_profiles.name_of` calls a profile that it cannot open."""

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


def of_samples(samples: Sequence[Sample], readings: Mapping[str, ImageReading] | None = None) -> tuple[str, ...]:
    """Say what of the samples' files makes another picture than one may think, though it is no fault.

    Args:
        samples: As they were fetched.
        readings: How their pictures are read, by sample's name; by the defaults when left out.

    Returns:
        One line each: about color profiles one for all samples, then what is to be said of single ones.
    """
    read = readings or {}
    named = {sample.name: _notes(sample, read.get(sample.name, ImageReading())) for sample in samples}
    return (*_about_profiles(samples, read), *gathered({printable(name): lines for name, lines in named.items()}))


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


def _notes(sample: Sample, reading: ImageReading) -> list[str]:
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
    return notes + list(sample.mask_check.notes if sample.mask_check else ())
