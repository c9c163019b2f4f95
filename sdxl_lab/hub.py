"""The hub of models: which commit a repository is at, and its files, from the net or from the local cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sdxl_lab.checkpoint_files import INDEX, VARIANT, CheckpointError, PipelineFolder

TIMEOUT_S = 10.0


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

    @cached_property
    def commit(self) -> str:
        """The commit that the revision stands for: as the hub says, or where it can't be reached, the local cache.

        Raises:
            CheckpointError: There is no such repository or revision, or neither hub nor cache has an answer.
        """
        from huggingface_hub import HfApi, try_to_load_from_cache
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

        try:
            return str(HfApi().model_info(self.name, revision=self.revision, timeout=TIMEOUT_S).sha)
        except GatedRepoError as error:
            raise CheckpointError(f"{self.name} is gated: accept its terms on the hub, then log in with `hf auth login`.") from error
        except (RepositoryNotFoundError, RevisionNotFoundError) as error:
            raise CheckpointError(
                f"the hub has no {self.name} at revision {self.revision!r}, or it is private; check the name, or log in with `hf auth login`."
            ) from error
        except _unreachable() as error:
            cached = try_to_load_from_cache(self.name, INDEX, revision=self.revision)
            if isinstance(cached, str):
                return Path(cached).parent.name
            raise self._missing(error) from error

    def check(self) -> None:
        """See that the commit can be found out."""
        _ = self.commit

    def fetch(self) -> PipelineFolder:
        """Its files in the local cache, downloaded if need be: .safetensors alone, the half-precision variant where there is one.

        Raises:
            CheckpointError: They are neither there nor to be had.
        """
        from diffusers import StableDiffusionXLInpaintPipeline

        shared: dict[str, Any] = dict.fromkeys(("vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")) if self.is_refiner else {}
        names, offline = self._listing()
        variant = VARIANT if any(f".{VARIANT}." in name for name in names) else None
        choice: dict[str, Any] = {"revision": self.commit, "variant": variant, "use_safetensors": True, "local_files_only": offline, **shared}
        folder = self._downloaded(lambda: StableDiffusionXLInpaintPipeline.download(self.name, **choice))
        part = PipelineFolder(folder, self.is_refiner)
        part.check()
        return part

    def fetch_files(self, *patterns: str) -> Path:
        """Some of its files: a folder in the local cache.

        Raises:
            CheckpointError: They are neither there nor to be had.
        """
        from huggingface_hub import snapshot_download

        return self._downloaded(lambda: snapshot_download(self.name, revision=self.commit, allow_patterns=list(patterns)))

    def _downloaded(self, download: Callable[[], Any]) -> Path:
        try:
            return Path(download())
        except (*_unreachable(), OSError, ValueError) as error:
            raise self._missing(error) from error

    def _listing(self) -> tuple[list[str], bool]:
        """Names of its files, and whether only the local cache could tell."""
        from huggingface_hub import HfApi, constants
        from huggingface_hub.file_download import repo_folder_name

        try:
            return HfApi().list_repo_files(self.name, revision=self.commit), False
        except _unreachable():
            snapshot = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=self.name, repo_type="model") / "snapshots" / self.commit
            return [path.name for path in snapshot.rglob("*")], True

    def _missing(self, error: Exception) -> CheckpointError:
        from huggingface_hub import constants

        reason = (str(error) or type(error).__name__).strip().splitlines()[0]
        return CheckpointError(
            f"{self.name} at revision {self.revision!r} is not wholly in the local cache ({constants.HF_HUB_CACHE}), and {constants.ENDPOINT} gave "
            f"no answer ({reason}). Connect and run again, or run `hf download {self.name}` on a machine that is connected and copy its cache here, "
            "or name a folder as checkpoint. HF_ENDPOINT names a mirror; unset HF_HUB_OFFLINE if it is set."
        )


def _unreachable() -> tuple[type[Exception], ...]:
    """What the hub's client raises when there is no answer."""
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    # The base of the client's own errors is its HTTP library's, httpx or a fork of it.
    return (OfflineModeIsEnabled, HfHubHTTPError, *HfHubHTTPError.__bases__, LocalEntryNotFoundError, ConnectionError)
