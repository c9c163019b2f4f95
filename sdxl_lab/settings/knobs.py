"""What a person who turns a setting by hand is offered besides what its type already tells."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Knob:
    """Marks a setting with what its knob needs; one without a mark has a knob all the same, made of its name, type and docstring.

    Nothing of it reaches a document, a digest or an error.

    Attributes:
        label: What people call it; its name in words if left out.
        soft: The range that a slider covers, within what is allowed; all of that if left out.
        step: From one position of the slider to the next; a whole number, or a hundredth of the range, if left out.
        unit: Behind its number, such as `px`.
        parts: What the two numbers of a pair are called.
        none: What None is called where it is a value of its own.
        suggested: Texts to choose from where any fitting one is allowed.
        is_seed: Whether it is where the noise comes from, which a die draws.
        is_shown: Whether it is always in view; else it is folded away with its section.
    """

    label: str | None = None
    soft: tuple[float, float] | None = None
    step: float | None = None
    unit: str = ""
    parts: tuple[str, str] | None = None
    none: str = "none"
    suggested: tuple[str, ...] = ()
    is_seed: bool = False
    is_shown: bool = False
