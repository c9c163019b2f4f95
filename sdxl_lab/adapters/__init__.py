"""Techniques that change what a checkpoint's models give: LoRAs, embeddings. None yet; `ADAPTERS["lora"] = ...` is how one comes.

Whatever is on the models stands in a resolved spec by content (`ResolvedSpec.adapters`), and so in `ComputedBy`, which names runs, pictures and
what caches keep.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from sdxl_lab.settings.sections import Settings


class Adapter(Protocol):
    """One technique.

    Attributes:
        label: What the tools around AUTOMATIC1111's web UI call it.
        settings: Its section of settings, absent unless given.
    """

    label: str
    settings: type[Settings]

    def identify(self, asked: Any) -> str:
        """Digest, hex, of what is asked for: by content, and with all that changes its effect, such as its strength.

        Args:
            asked: Its section, validated.

        Raises:
            LabError: It is not there, or not one that fits.
        """
        ...

    def attach(self, pipeline: Any, asked: Any) -> None:
        """Put it on the models of a loaded pipeline.

        Args:
            pipeline: diffusers' own.
            asked: Its section, validated.
        """
        ...

    def detach(self, pipeline: Any, asked: Any) -> None:
        """Take it off again, which leaves the models exactly as they were. The arguments are those of `attach`."""
        ...

    def added_to_the_call(self, asked: Any) -> Mapping[str, Any]:
        """What the pipeline is called with besides.

        Args:
            asked: Its section, validated.
        """
        ...


ADAPTERS: dict[str, Adapter] = {}
"""By the name of its section."""
