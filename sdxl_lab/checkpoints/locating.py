"""What a checkpoint's name stands for: its base and its refiner, found and identified by content, with nothing of them in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from sdxl_lab import families
from sdxl_lab.adapters import ADAPTERS, BUILT_IN
from sdxl_lab.checkpoints.configurations import check_pair
from sdxl_lab.checkpoints.derived import whole
from sdxl_lab.checkpoints.files import CONFIGURATION, PICKLED, PipelineFolder, digest_of_parts
from sdxl_lab.checkpoints.hub import HUB_ID, Repository
from sdxl_lab.checkpoints.licenses import license_in, license_told
from sdxl_lab.checkpoints.single_files import SHARDED, Part, SingleFile, beside, file_meant_by
from sdxl_lab.checkpoints.weight_files import SUFFIX, CheckpointError
from sdxl_lab.families import OTHER, Lender, Made, Published
from sdxl_lab.files.addresses import canonical, file_of, is_address
from sdxl_lab.files.digests import digest_of, until_changed
from sdxl_lab.files.places import misread
from sdxl_lab.settings.hyperparams import closest
from sdxl_lab.spec.identities import CheckpointIdentity
from sdxl_lab.wording import few


def identify(checkpoint: str) -> CheckpointIdentity:
    """Find out which checkpoint a name stands for, by content, with no weights in memory.

    Args:
        checkpoint: One of `families.names()`, a folder, a hub id (`owner/name`, with `@revision` if pinned), a .safetensors file, or the address
            of one that was fetched.

    Raises:
        CheckpointError: There is no such checkpoint, something of it is missing, or the hub cannot be reached and its cache has no copy.
    """
    return locate(checkpoint).identity


@dataclass(frozen=True, kw_only=True)
class Source:
    """A checkpoint found, not loaded.

    Attributes:
        name: As it was asked for.
        base: Where its base is.
        refiner: Where its refiner is, or None if it has none.
        known: Its family; None of a repository that has no name here, whose files tell.
    """

    name: str
    base: Part | Repository
    refiner: Part | Repository | None
    known: str | None

    @cached_property
    def family(self) -> str:
        """As in `CheckpointIdentity`; of a repository that is neither here nor to be had, as of what no family recognizes."""
        if self.known is not None or not isinstance(self.base, Repository):
            return self.known or OTHER
        try:
            return families.recognized(self.base.fetch_outline())
        except CheckpointError:  # which is told by whoever needs its files
            return OTHER

    @cached_property
    def identity(self) -> CheckpointIdentity:
        """Which checkpoint it is, by content, once everything of it was seen to be there."""
        commits = [part.commit for part in (self.base, self.refiner) if isinstance(part, Repository)]
        lent = self.lent_vae
        is_here = not commits and not isinstance(lent, Repository)
        digest = (_digest_here if is_here else _digest)(self.base, self.refiner, lent)
        return CheckpointIdentity(name=self.name, digest=digest, revision="+".join(commits) or None, family=self.family)

    def is_identified_by(self, identity: CheckpointIdentity) -> bool:
        """Whether it is what a record names: the same content, of a single file under any name."""
        if self.identity.digest == identity.digest:
            return True
        named = families.named(identity.name)
        made = named[1] if named else None
        called = made.file.name if isinstance(made, Made) else identity.name.rstrip("/").rpartition("/")[2]
        return isinstance(self.base, SingleFile) and _digest(self.base, self.refiner, self.lent_vae, called) == identity.digest

    @cached_property
    def lent_vae(self) -> PipelineFolder | Repository | None:
        """Whose VAE a base takes that is a single file without one; None if it has its own."""
        base = self.base
        if not isinstance(base, SingleFile) or base.vae_beside or base.has_vae:
            return None
        lender = lender_of(base, self.family)
        return Repository(lender.vae) if lender.vae else PipelineFolder(lender.configuration)


def locate(checkpoint: str, revision: str | None = None) -> Source:
    """Find a checkpoint; nothing is asked of the hub yet.

    Args:
        checkpoint: A name as in `identify`.
        revision: An identity's: the commits of base and refiner.

    Raises:
        CheckpointError: The name stands for nothing.
    """
    base_commit, _, refiner_commit = (revision or "").partition("+")
    if named := families.named(checkpoint):
        family, place = named
        if isinstance(place, Made):
            return _made(checkpoint, place, family)
        if not isinstance(place, Published):
            return _in_folder(checkpoint, place, family)
        refiner = Repository(place.refiner, refiner_commit or "main", is_refiner=True) if place.refiner else None
        return Source(name=checkpoint, base=Repository(place.base, base_commit or "main"), refiner=refiner, known=family)
    if reason := misread(checkpoint, "checkpoint"):
        raise CheckpointError(f"checkpoint {checkpoint[:200]!r} cannot be found: {reason}")
    if is_address(checkpoint):
        fetched = file_of(checkpoint)
        assert fetched is not None  # else it would be misread
        return replace(_in_file(checkpoint, fetched), name=canonical(checkpoint))
    # What has a commit came from the hub: a folder that happens to have its name is another checkpoint.
    if revision is None and (found := _locate_here(checkpoint)):
        return found
    if (said := _built_in_adapter(checkpoint)) and revision is None:
        raise CheckpointError(f"there is no checkpoint {checkpoint!r}: {said}")
    if checkpoint.lower().endswith((SUFFIX, SHARDED)):
        raise CheckpointError(_no_file(Path(checkpoint).expanduser()))
    if match := HUB_ID.fullmatch(checkpoint):
        name, pinned = match.groups()
        return Source(name=checkpoint, base=Repository(name, base_commit or pinned or "main"), refiner=None, known=None)
    meant = families.meant_by(checkpoint)
    raise CheckpointError(
        f"there is no checkpoint {checkpoint[:200]!r}: no such folder or file, and no hub id. Allowed are {', '.join(families.names())}, a folder, "
        f"a .safetensors file, or a hub id such as owner/name.{f' {meant}' if meant else ''}"
    )


def _built_in_adapter(name: str) -> str | None:
    """What to say of a name that the lab brings an adapter of."""
    stem = name.removesuffix(SUFFIX)
    kind = next((kind for kind in ADAPTERS if "/" not in stem and (BUILT_IN / kind / f"{stem}{SUFFIX}").is_file()), None)
    return f"{stem} is a built-in {ADAPTERS[kind].what.partition(' ')[2]}: give it as {kind}.NAME.file, and a checkpoint beside it." if kind else None


def _no_file(path: Path) -> str:
    """That a file is not there, and which one beside it may have been meant."""
    if not path.parent.is_dir():
        return f"there is no file {path}, nor its folder {path.parent}; give the path of one that is there"
    beside = sorted(file.name for file in path.parent.iterdir() if file.name.lower().endswith(SUFFIX))
    if near := closest(path.name, beside):
        return f"there is no file {path}; did you mean {path.parent / near}?"
    return f"there is no file {path}; {f'{path.parent} has {few(beside)}' if beside else f'{path.parent} has no {SUFFIX} file'}"


def _locate_here(checkpoint: str) -> Source | None:
    try:
        path = Path(checkpoint).expanduser()
        is_file, is_folder = path.is_file(), path.is_dir()
    except (OSError, RuntimeError) as error:  # a name too long, a folder that may not be read, the home of nobody
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"checkpoint {checkpoint[:200]!r} cannot be looked up: {reason}; give a path that can be read, or a hub id.") from error
    if not is_folder and (file := file_meant_by(path)):
        return _in_file(checkpoint, file)
    if is_folder:
        return _in_folder(checkpoint, path, families.recognized(path))
    if is_file:
        reason = (
            "which can run code when it is loaded, so that weights are read from .safetensors files alone" if path.suffix.lower() in PICKLED else ""
        )
        raise CheckpointError(
            f"checkpoint {checkpoint!r} is a {path.suffix or 'plain'} file{reason and f', {reason}'}; allowed are .safetensors files and folders in "
            "diffusers' layout: take one from its source, or convert it on a machine you trust."
        )
    return None


def _made(checkpoint: str, place: Made, family: str) -> Source:
    if not place.file.is_file():
        raise CheckpointError(f"checkpoint {checkpoint} is not made on this machine yet: {place.command} makes it, in minutes")
    return _in_file(checkpoint, place.file, family)


def _in_file(checkpoint: str, path: Path, family: str | None = None) -> Source:
    base = SingleFile(path)
    family = family or families.recognized(path, base.header.shapes, base.generation)
    return Source(name=checkpoint, base=base, refiner=_refiner_beside(path, family), known=family)


def _in_folder(checkpoint: str, path: Path, family: str) -> Source:
    base = path / "base" if (path / "base").is_dir() else path
    return Source(name=checkpoint, base=PipelineFolder(base), refiner=_refiner_beside(base, family), known=family)


def _refiner_beside(base: Path, family: str) -> Part | None:
    """`refiner/` or `refiner.safetensors` beside the base, or the index of its shards; of a family that has the text encoder which refiners share."""
    if "text_encoder_2" not in families.family_of(family).text_encoders:
        return None
    folder = base.parent / "refiner"
    if folder.is_dir() and folder != base:
        return PipelineFolder(folder, is_refiner=True)
    files = (beside(base, f"refiner{ending}") for ending in (SUFFIX, SHARDED))
    return next((SingleFile(file, is_refiner=True) for file in files if file and file != base), None)


def license_of(identity: CheckpointIdentity) -> str | None:
    """What the license of a checkpoint is called, and perhaps what it asks for; nothing is asked of the hub.

    Args:
        identity: Which checkpoint. Of one that has a name here it is known; else the model card tells, if it lies in its folder or in the local
            cache.

    Returns:
        None if nothing tells.
    """
    base = locate(identity.name, identity.revision).base
    if isinstance(base, Repository):
        if published := families.published(base.name):
            return published[1].license
        folder = base.cached()
        return license_in(folder) if folder else None
    if isinstance(base, SingleFile):
        return license_told(base.header.metadata)
    return license_in(base.path) or license_in(base.path.parent)


def configuration(part: Part | Repository, family: str, prediction: str | None = None) -> Path:
    """A folder in diffusers' layout that says what a part is like, with or without its weights; that of a repository is downloaded if need be.

    Args:
        part: A base or a refiner. A single file shares the configuration that `lender_of` finds; but for what the file says of itself.
        family: As in `Source`.
        prediction: As `compute.prediction` has it, of a single file.

    Raises:
        CheckpointError: It is neither here nor to be had, or nobody knows.
    """
    if isinstance(part, PipelineFolder):
        return part.path
    if isinstance(part, SingleFile):
        return whole(lender_of(part, family, part.predicts(prediction)).configuration, part.scheduled(prediction))
    return part.fetch_files(*CONFIGURATION)


def lender_of(part: SingleFile, family: str, prediction: str | None = None) -> Lender:
    """Where a single file has from what it does not hold: its configuration, and perhaps a VAE.

    Args:
        part: A base or a refiner.
        family: As in `Source`.
        prediction: What its UNet predicts, as schedulers have it, since those that predict noise make pictures of another size. The VAE is the
            same.

    Raises:
        CheckpointError: Nobody knows.
    """
    lenders, built = families.family_of(family).single_files, part.architecture
    found = (lenders.get((*built, prediction)) if prediction and isinstance(built, tuple) and len(built) == 2 else None) or lenders.get(built)
    if found is None:
        raise CheckpointError(f"{part.path} does not say how its models are built; give the checkpoint's folder in diffusers' layout.")
    return found


def _digest(
    base: Part | Repository, refiner: Part | Repository | None, lent_vae: PipelineFolder | Repository | None, called: str | None = None
) -> str:
    """One digest of both, and of a VAE that is another's, once everything of them was seen to be there; as if a single file were called so."""
    parts = [base, refiner]
    for part in parts:
        if part is not None:
            part.check()
    if isinstance(base, PipelineFolder) and isinstance(refiner, PipelineFolder):
        check_pair(base.path, refiner.path)
    known = [part and (f"{part.name}@{part.commit}" if isinstance(part, Repository) else part.digest()) for part in parts]
    if called and isinstance(base, SingleFile):
        known[0] = base.digest(called)
    if isinstance(lent_vae, Repository):
        known.append(f"{lent_vae.name}@{lent_vae.commit}/vae")
    elif lent_vae is not None:
        known.append(digest_of(lent_vae.weights("vae"), root=lent_vae.path))
    return digest_of_parts(known)


def _files(base: Part | Repository, refiner: Part | Repository | None, lent_vae: PipelineFolder | Repository | None) -> list[Path]:
    lent = lent_vae.looked_at() if isinstance(lent_vae, PipelineFolder) else []
    return [*lent, *(path for part in (base, refiner) if isinstance(part, Part) for path in part.looked_at())]


_digest_here = until_changed(_files, most=16)(_digest)
"""The same of what is no repository: each run of a sweep asks twice."""
