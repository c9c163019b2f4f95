"""What a single file is, in words: which weights it holds, whose VAE it takes, what it says of its noise. Of its header alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sdxl_lab.checkpoints.hub import Repository
from sdxl_lab.checkpoints.locating import Source, locate
from sdxl_lab.checkpoints.single_files import SingleFile
from sdxl_lab.errors import LabError
from sdxl_lab.files.digests import digest_of_file
from sdxl_lab.spec.identities import CheckpointIdentity

_EMA = "holds EMA weights too"


def described(source: Source, *, but: Iterable[str] = ()) -> str | None:
    """What a checkpoint's single file holds.

    Args:
        source: The checkpoint, found.
        but: What is said of it elsewhere, as `cautions` says it, and not again.

    Returns:
        Such as `sha256 0123456789; EMA weights beside the plain ones; its own VAE; it predicts v`, of the sha256 what Civitai calls AutoV2; None of
        a checkpoint that is no single file.
    """
    base = source.base
    if not isinstance(base, SingleFile):
        return None
    said = [f"in {len(base.files)} shards"] if len(base.files) > 1 else [f"sha256 {digest_of_file(base.path)[:10]}"]
    if base.generation:
        said.append(f"Stable Diffusion {base.generation}{' for inpainting' if base.in_channels == 9 else ''}")
    elsewhere = " ".join(but)
    if base.has_ema and _EMA not in elsewhere:
        said.append("EMA weights beside the plain ones" if base.has_plain else "EMA weights alone")
    if (vae := _vae(source, base)) not in elsewhere:
        said.append(vae)
    if predicts := base.predicts(None):
        by = (
            f", as {base.yaml_beside.name} says"
            if base.yaml_beside
            else ", and was trained down to a signal of zero"
            if len(base.scheduling) > 1
            else ""
        )
        said.append(f"it predicts {'v' if predicts == 'v_prediction' else 'noise'}{by}")
    elif base.asks_for_prediction:
        said.append("nothing in it tells what it predicts: set compute.prediction to epsilon or v")
    return "; ".join(said)


def cautions(identity: CheckpointIdentity, weights: str | None) -> Iterator[str]:
    """Say what of a single file its user may not know, and what to do about it; nothing of any other checkpoint.

    Args:
        identity: Which checkpoint; one whose files are no longer here has nothing to say.
        weights: As `compute.weights` has it.

    Yields:
        A sentence each; for most files none.
    """
    try:
        source = locate(identity.name, identity.revision)
    except LabError:
        return
    base = source.base
    if not isinstance(base, SingleFile):
        return
    if weights is None and base.has_ema and base.has_plain:
        yield f"{base.path.name} {_EMA}, averages over its training; compute.weights ema takes them."
    if source.lent_vae is not None:
        yield f"{base.path.name}: {_vae(source, base)}."


def _vae(source: Source, base: SingleFile) -> str:
    if base.vae_beside:
        return f"the VAE beside it, {base.vae_beside.name}"
    lent = source.lent_vae
    if lent is None:
        return "its own VAE"
    return f"it holds no VAE, and takes that of {lent.name if isinstance(lent, Repository) else source.family}"
