"""The hub of models: which commit a repository is at, and its files, from the net or from the local cache."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from sdxl_lab import progress
from sdxl_lab.checkpoints.configurations import INDEX
from sdxl_lab.checkpoints.files import PipelineFolder
from sdxl_lab.checkpoints.weight_files import ADVICE, SUFFIX, CheckpointError
from sdxl_lab.families import instead_of, moved_to
from sdxl_lab.files import disk
from sdxl_lab.wording import few

TIMEOUT_S = 10.0
PARTS = frozenset(["lora", "unet", "vae", "diffusion", "encoder", "controlnet", "adapter", "embedding", "embeddings"])
"""Words in the names of files that are no whole checkpoint."""

HUB_ID = re.compile(r"([A-Za-z0-9][\w.-]*/[\w.-]+)(?:@([\w./-]+))?")
"""How people name a repository: `owner/name`, perhaps with `@` and a branch, tag or commit."""

OUTLINE = (INDEX, "unet/config.json")
"""What tells which family a pipeline is of."""

WHOLE = " ".join(f"--include '{pattern}'" for pattern in (INDEX, "*/*.json", "*/*.txt", "*/*.safetensors"))
"""With which the hub's client downloads a pipeline, and not what lies beside it: single files, pickles, other frameworks' weights."""

REFUSED = (401, 403)
"""The statuses of what the hub has and does not give."""

_only_cached = ContextVar("only_cached", default=False)


class NotCachedError(CheckpointError):
    """Files of the hub that the local cache lacks, and that could not or were not to be downloaded."""


@contextlib.contextmanager
def only_cached() -> Iterator[None]:
    """While the block runs, let the local cache alone answer: nothing is asked of the hub."""
    token = _only_cached.set(True)
    try:
        yield
    finally:
        _only_cached.reset(token)


@dataclass(frozen=True)
class Repository:
    """A repository of the hub in diffusers' layout.

    Attributes:
        name: `owner/name`.
        revision: Branch, tag or commit.
        is_refiner: Whether VAE and text encoders come from the base, and are not downloaded.
    """

    name: str
    revision: str = "main"
    is_refiner: bool = False

    @property
    def commit(self) -> str:
        """The commit that the revision stands for: as the hub says, or where it can't be reached, the local cache.

        Raises:
            CheckpointError: There is no such repository or revision, or neither hub nor cache has an answer.
        """
        return self._answer[0]

    @cached_property
    def _answer(self) -> tuple[str, tuple[str, ...] | None]:
        """The commit, and the names of its files; None of them where the hub gave no answer."""
        from huggingface_hub import HfApi
        from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

        try:
            _require_permission()
            described = HfApi().model_info(self.name, revision=self.revision, timeout=TIMEOUT_S)
            commit = str(described.sha)
            if described.gated and not (self._cache / "snapshots" / commit).is_dir():
                HfApi().auth_check(self.name)  # a gated repository is described to everybody
        except HFValidationError as error:
            raise CheckpointError(f"{self.name!r} is no folder, and no name that the hub allows: {error}") from error
        except GatedRepoError as error:
            raise self._refused(error) from error
        except (RepositoryNotFoundError, RevisionNotFoundError) as error:
            raise CheckpointError(
                f"the hub has no {self.name} at revision {self.revision!r}, or it is private; check the name, or log in with `hf auth login`."
                f"{self.moved()}"
            ) from error
        except _unreachable() as error:
            if _status(error) in REFUSED:
                raise self._refused(error) from error
            commit = self._reference.read_text() if self._reference.is_file() else self.revision
            if (self._cache / "snapshots" / commit).is_dir():
                return commit, None
            raise self._missing(error) from error
        self._remember(commit)
        return commit, tuple(file.rfilename for file in described.siblings or ()) or None

    def cached(self) -> Path | None:
        """The folder of its files in the local cache, whole or not, if its revision is a commit that lies there; the hub is not asked."""
        folder = self._cache / "snapshots" / self.revision
        return folder if folder.is_dir() else None

    def check(self) -> None:
        """See that the commit can be found out, and that there is a pipeline, as far as the hub tells.

        Raises:
            CheckpointError: As in `commit`; or there is none. Says what to take instead.
        """
        _, names = self._answer
        if names is not None and INDEX not in names:
            raise CheckpointError(f"{self.name} {_instead(self.name, names)}.")

    def fetch(self) -> PipelineFolder:
        """Its files in the local cache, downloaded if need be: .safetensors alone, the half-precision variant where there is one.

        Raises:
            CheckpointError: They are neither there nor to be had.
        """
        try:
            names = self._listing()
        except _unreachable() as error:
            if _status(error) in REFUSED:
                raise self._refused(error) from error
            part = PipelineFolder(self._cache / "snapshots" / self.commit, self.is_refiner)
            try:
                part.check()
            except CheckpointError:
                raise self._missing(error) from error
            return part
        if INDEX not in names:
            raise CheckpointError(f"{self.name} {_instead(self.name, names)}.")
        part = PipelineFolder(self._download([INDEX]), self.is_refiner)
        self._download(part.choose(names))
        part.check()
        return part

    def fetch_files(self, *patterns: str) -> Path:
        """Some of its files: a folder in the local cache.

        Raises:
            CheckpointError: They are neither there nor to be had.
        """
        return self._download(list(patterns))

    def fetch_outline(self) -> Path:
        """A folder in the local cache that holds at least what tells its architecture.

        Raises:
            CheckpointError: That is neither there nor to be had.
        """
        folder = replace(self, revision=self.commit).cached()
        if folder and all((folder / name).is_file() for name in OUTLINE):
            return folder
        return self.fetch_files(*OUTLINE)

    def fetch_vae(self) -> PipelineFolder:
        """A folder in the local cache that holds its VAE, of which that alone is downloaded.

        Raises:
            CheckpointError: It is neither there nor to be had.
        """
        names = [name for name in self.files(SUFFIX) if name.startswith("vae/")]
        if not names:
            raise self._missing(LookupError("its VAE is not there"))
        chosen = PipelineFolder(Path()).choose_weights("vae", names)
        return PipelineFolder(self.fetch_files("vae/config.json", *chosen))

    def files(self, suffix: str) -> list[str]:
        """Names of its files that end so; where the hub gives no answer, of those in the local cache.

        Raises:
            CheckpointError: It cannot be found out.
        """
        try:
            names = self._listing()
        except _unreachable() as error:
            if _status(error) in REFUSED:
                raise self._refused(error) from error
            folder = self._cache / "snapshots" / self.commit
            names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
        return sorted(name for name in names if name.endswith(suffix))

    def _download(self, patterns: list[str]) -> Path:
        from huggingface_hub import snapshot_download

        try:
            local = _only_cached.get()
            folder = snapshot_download(self.name, revision=self.commit, allow_patterns=patterns, local_files_only=local, tqdm_class=_bar(self.name))
            return Path(folder)
        except (*_unreachable(), OSError, ValueError) as error:
            raise (self._refused(error) if _status(error) in REFUSED else self._missing(error)) from error

    def _listing(self) -> list[str]:
        from huggingface_hub import HfApi

        _require_permission()
        # The client's own list of files tries again for half a minute where there is no connection.
        described = HfApi().model_info(self.name, revision=self.commit, timeout=TIMEOUT_S)
        return [file.rfilename for file in described.siblings or ()]

    def _remember(self, commit: str) -> None:
        """Let the cache know which commit the revision stands for, as the client does only when it downloads by branch or tag."""
        if commit == self.revision:
            return
        # A cache that may only be read serves all the same.
        with contextlib.suppress(disk.DiskError):
            disk.write_whole(self._reference, commit.encode())

    @property
    def _cache(self) -> Path:
        """Where the client keeps this repository."""
        from huggingface_hub import constants
        from huggingface_hub.file_download import repo_folder_name

        return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=self.name, repo_type="model")

    @property
    def _reference(self) -> Path:
        """Where the client's cache keeps the commit of the revision."""
        return self._cache / "refs" / self.revision

    def _refused(self, error: Exception) -> CheckpointError:
        """What to do where the hub answers, and does not give what it has."""
        from huggingface_hub import constants, get_token
        from huggingface_hub.errors import GatedRepoError

        place, known = f"{constants.ENDPOINT}/{self.name}", get_token() is not None
        if isinstance(error, GatedRepoError):
            account = "with the account that you are logged in with" if known else "log in with `hf auth login`"
            return CheckpointError(
                f"{self.name} is gated: the hub gives its files to those who accepted its terms{self._license()}. Accept them at {place}, {account}"
                f"{', and wait until its owner agrees' if known else ''}; then run again. Or name a folder as checkpoint."
            )
        login = "the token that you are logged in with does not allow it: make one that does, and log in again" if known else "log in"
        return CheckpointError(f"{constants.ENDPOINT} refuses {self.name} (status {_status(error)}); {login} with `hf auth login`.{self.moved()}")

    def moved(self) -> str:
        """Where the same checkpoint is by now, as a sentence after another; empty if it is where it was."""
        name = moved_to(self.name)
        return f" It left that place: give {name}, the same checkpoint by its name here." if name else ""

    def _license(self) -> str:
        """The name of its license, in brackets, as far as the hub says."""
        from huggingface_hub import HfApi

        with contextlib.suppress(*_unreachable(), OSError, ValueError):
            tags = HfApi().model_info(self.name, timeout=TIMEOUT_S).tags or []
            return next((f" (license: {tag.partition(':')[2]})" for tag in tags if tag.startswith("license:")), "")
        return ""

    def _missing(self, error: Exception) -> CheckpointError:
        from huggingface_hub import constants

        reason = (str(error) or type(error).__name__).strip().splitlines()[0]
        if instead := instead_of(self.name):
            return NotCachedError(
                f"{self.name} is no checkpoint as a whole, and not in the local cache ({constants.HF_HUB_CACHE}): {instead}. That takes a machine "
                f"that is connected; {constants.ENDPOINT} gave no answer ({reason})."
            )
        missing = f"{self.name} at revision {self.revision!r} is not wholly in the local cache ({constants.HF_HUB_CACHE})"
        unanswered = f"{constants.ENDPOINT} gave no answer ({reason})"
        if moved := self.moved():
            return NotCachedError(f"{missing}.{moved} That takes a connection, or its files in that cache: {unanswered}.")
        return NotCachedError(
            f"{missing}, and {unanswered}. Connect and run again, or run `hf download {self.name} {WHOLE}` on a machine that is connected and copy "
            "its cache here, or name a folder as checkpoint. HF_ENDPOINT names a mirror; unset HF_HUB_OFFLINE if it is set."
        )


def _instead(repository: str, names: Sequence[str]) -> str:
    """What a repository without an index is, and what to take in its place."""
    files = [name for name in names if name.lower().endswith(SUFFIX) and "/" not in name]
    words = {name: set(re.findall(r"[a-z]+", name.lower())) for name in files}
    if whole := [name for name in files if not words[name] & PARTS]:
        return (
            f"is no pipeline in diffusers' layout, but has single files ({few(whole, most=4)}): download one that is a whole checkpoint, such as by "
            f"`hf download {repository} {whole[-1]}`, and give its path"
        )
    if any("lora" in words[name] for name in files):
        return f"is no checkpoint, but has LoRAs ({few([name for name in files if 'lora' in words[name]], most=3)}); {ADVICE['a LoRA']}"
    if "config.json" in names and any("diffusion" in words[name] for name in files):
        return "is one model alone, such as a UNet, without the rest of a pipeline; give the whole checkpoint that it belongs to"
    return f"has no {INDEX}; a repository in diffusers' layout is needed, or download its .safetensors file"


def _bar(repository: str) -> Any:
    """A bar for the client that shows nothing, and tells the bytes that have come."""
    from tqdm.auto import tqdm

    class Telling(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "file": io.StringIO()})
            # Beside the bytes received, the client counts files, and the bytes written.
            self.counts = str(kwargs.get("desc", "")).startswith("Reconstructing")

        def update(self, n: float | None = 1) -> bool | None:
            drawn = super().update(n)
            if self.counts and self.total:
                progress.tell(f"downloading {repository}", done=self.n, total=self.total, unit="B")
            return drawn

    return Telling


def _require_permission() -> None:
    from huggingface_hub.errors import OfflineModeIsEnabled

    if _only_cached.get():
        raise OfflineModeIsEnabled("it was not to be asked")


def _status(error: Exception) -> int | None:
    """The status of an answer that is an error; None where none came."""
    return getattr(getattr(error, "response", None), "status_code", None)


def _unreachable() -> tuple[type[Exception], ...]:
    """What the hub's client raises when there is no answer."""
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    # The base of the client's own errors is its HTTP library's, httpx or a fork of it.
    return (OfflineModeIsEnabled, HfHubHTTPError, *HfHubHTTPError.__bases__, LocalEntryNotFoundError, ConnectionError)
