"""What lies in the file of an adapter: its tensors as they are stored, without torch, once it is seen to be such a file."""

from __future__ import annotations

import json
import mmap
from collections.abc import Mapping
from pathlib import Path

from sdxl_lab.adapters import SUFFIX, Adapter, AdapterError, Models, Tensor
from sdxl_lab.checkpoints import tokens
from sdxl_lab.checkpoints.outlines import Outline
from sdxl_lab.checkpoints.weight_files import kind_of, other_than_weights
from sdxl_lab.checkpoints.weight_shapes import weights_of
from sdxl_lab.spec.identities import CheckpointIdentity

ADVICE = "take another file, or download it again (with `git lfs pull` if it came by git)"


def opened(path: Path, adapter: Adapter) -> tuple[Mapping[str, Tensor], Mapping[str, str]]:
    """Open the file of an adapter.

    Args:
        path: The file.
        adapter: Of which kind it is to be.

    Returns:
        Its tensors by name, whose numbers are read from the disk as somebody looks at them; and what the file says of itself.

    Raises:
        AdapterError: There is no such file, it is no .safetensors file, or one of another kind.
    """
    from safetensors import SafetensorError, safe_open

    if path.is_dir():
        raise AdapterError(f"it is a folder; give a {SUFFIX} file in it")
    try:
        with safe_open(path, "np") as file:  # which sees whether names and places are sound
            names = list(file.keys())
        if (kind := kind_of(names)) not in (None, adapter.what):
            raise AdapterError(f"it is {kind}, where {adapter.what} is needed; take another file")
        with path.open("rb") as held:
            content = memoryview(mmap.mmap(held.fileno(), 0, access=mmap.ACCESS_READ))
    except FileNotFoundError:
        raise AdapterError("there is no such file; check its path") from None
    except (SafetensorError, OSError) as error:
        reason = other_than_weights(path) or getattr(error, "strerror", None) or error
        raise AdapterError(f"it is no whole {SUFFIX} file ({reason}); {ADVICE}") from error
    begin = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(bytes(content[8:begin]))
    metadata = header.pop("__metadata__", None) or {}
    return {name: _tensor(about, content[begin:]) for name, about in header.items()}, metadata


def models_of(identity: CheckpointIdentity, outline: Outline) -> Models:
    """What adapters must fit.

    Args:
        identity: Of the checkpoint.
        outline: What is known of it.
    """
    return Models(
        configuration=outline.configuration,
        tokenizers=tuple(map(tokens.loaded, tokens.tokenizers(identity))),
        weights=lambda component: weights_of(identity, outline.configuration, component),
    )


def _tensor(about: Mapping[str, object], data: memoryview) -> Tensor:
    begin, end = about["data_offsets"]  # pyright: ignore[reportGeneralTypeIssues]
    return Tensor(dtype=str(about["dtype"]), shape=tuple(about["shape"]), data=data[begin:end])  # pyright: ignore[reportArgumentType]
