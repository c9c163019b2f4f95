"""All besides edit and pixels that changes what models give, in one place: names of runs and pictures, loaded models and caches cannot disagree."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from sdxl_lab.settings.sections import Compute


@dataclass(frozen=True, kw_only=True)
class ComputedBy:
    """The models, and how they are computed.

    Attributes:
        checkpoint: Digest of the checkpoint, by content.
        dtype: What the UNets compute in, such as `float32`.
        threads: CPU threads of torch.
        switches: What else of `Compute` changes pixels, such as another VAE: pairs of key and value, sorted.
        adapters: Digest of each adapter that is on the models, by content and strength, in order.
    """

    checkpoint: str
    dtype: str
    threads: int
    switches: tuple[tuple[str, Any], ...] = ()
    adapters: tuple[str, ...] = ()

    @classmethod
    def of(cls, checkpoint: str, compute: Compute, *, dtype: str, threads: int, adapters: tuple[str, ...] = ()) -> Self:
        """That of a checkpoint that is computed as settings say.

        Args:
            checkpoint: Its digest.
            compute: Whose `dtype` and `threads` may still be open.
            dtype: The ones that were chosen; likewise `threads`.
            threads: CPU threads of torch.
            adapters: Digests of what is on its models.
        """
        return cls(checkpoint=checkpoint, dtype=dtype, threads=threads, switches=tuple(sorted(compute.changing.items())), adapters=adapters)

    @classmethod
    def stored(cls, document: Mapping[str, Any]) -> Self:
        """That of a resolved spec as it stands in a document."""
        asked = document["spec"].get("hyperparameters", {}).get("compute") or {}
        adapters = tuple(adapter["digest"] for adapter in document.get("adapters", ()))
        chosen: dict[str, Any] = {key: document[key] for key in ("dtype", "threads")}
        return cls.of(document["checkpoint"]["digest"], Compute.model_validate(asked), **chosen, adapters=adapters)

    def hashed(self) -> dict[str, Any]:
        """What of it names a run or a picture: plain values, always the same where it is the same, and as 0.1.0 wrote them."""
        later = {"adapters": list(self.adapters)} if self.adapters else {}
        return {"checkpoint": self.checkpoint, "dtype": self.dtype, "threads": self.threads, **dict(self.switches), **later}

    def models(self, device: str) -> Hashable:
        """Name the models as they are loaded: threads are the process's, and adapters are put on loaded models and taken off again.

        Args:
            device: Where they are.
        """
        return (self.checkpoint, device, self.dtype, *self.switches)

    def trajectories(self, device: str, arithmetic: Hashable = None) -> Hashable:
        """Name what is computed by them, to the last bit.

        Args:
            device: Where.
            arithmetic: What else the process decides, such as torch's switches for matrix products.
        """
        return (self.models(device), self.threads, self.adapters, arithmetic)
