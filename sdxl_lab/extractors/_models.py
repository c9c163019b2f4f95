"""A model of transformers on this disk: a folder, or a repository of the hub in the local cache, downloaded only if that was asked for."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sdxl_lab.checkpoints import hub
from sdxl_lab.checkpoints.weight_files import CheckpointError
from sdxl_lab.extractors._extractor import Asked, ExtractorError
from sdxl_lab.extractors._preprocessing import FILE, Preprocessing
from sdxl_lab.files.digests import digest_of

CONFIG = "config.json"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
TOKENIZER = ("tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json")
SMALL = ("*.json", "*.txt", "*.model")
"""Patterns of the files that say what a model is like, and its tokenizer's."""


@dataclass(frozen=True)
class ModelFolder:
    """A model as transformers saves it, checked as far as its small files tell.

    Attributes:
        path: The folder.
        called: As it was asked for.
    """

    path: Path
    called: str

    @property
    def _there(self) -> str:
        """Where it lies, behind what it is called; nothing where that says it."""
        return "" if self.called == str(self.path) else f" in {self.path}"

    @cached_property
    def config(self) -> dict[str, Any]:
        """The content of its `config.json`."""
        return self._read(CONFIG)

    @cached_property
    def preprocessing(self) -> Preprocessing:
        """What is done to a picture."""
        return Preprocessing.read(self.path / FILE, self._read(FILE))

    @cached_property
    def weights(self) -> str:
        """SHA-256 over the names and contents of `config.json` and the files of weights."""
        return digest_of([self.path / CONFIG, *(self.path / name for name in self.weight_files)], root=self.path)

    @cached_property
    def weight_files(self) -> tuple[str, ...]:
        """Names of the .safetensors files that are loaded, with the index of shards."""
        if (self.path / WEIGHTS).is_file():
            return (WEIGHTS,)
        if (self.path / INDEX).is_file():
            named = self._read(INDEX).get("weight_map")
            if not isinstance(named, dict) or not named or not all(isinstance(name, str) for name in named.values()):
                raise ExtractorError(f"{self.path / INDEX} names no files of weights; get it again")
            return (INDEX, *sorted(set(named.values())))
        raise ExtractorError(_without_weights(self.called, str(self.path)))

    @cached_property
    def tokenizer(self) -> str:
        """SHA-256 over the names and contents of the files that say how texts are read.

        Raises:
            ExtractorError: There are none.
        """
        files = [self.path / name for name in TOKENIZER if (self.path / name).is_file()]
        if not any(file.name in TOKENIZER[:2] for file in files):
            raise ExtractorError(f"{self.called} has no tokenizer ({TOKENIZER[0]}, or {TOKENIZER[1]} and {TOKENIZER[2]}){self._there}; get it whole")
        return digest_of(files, root=self.path)

    def check(self, model_types: tuple[str, ...]) -> None:
        """See that it is a model of a type, and that its weights are there.

        Raises:
            ExtractorError: Says what it is, or what is missing.
        """
        if (found := self.config.get("model_type")) not in model_types:
            raise ExtractorError(f"{self.called} is a model of type {found!r}; allowed here is {' or '.join(model_types)}: name another")
        if missing := [name for name in self.weight_files if not (self.path / name).is_file()]:
            raise ExtractorError(f"{self.called} lacks {', '.join(missing)}{self._there}; get it again, whole")

    def load(self, cls: Any) -> Any:
        """Read the network in float32, with a class of transformers; on a GPU where there is one.

        Raises:
            ExtractorError: It can't be read, or weights are missing, which transformers would make up.
        """
        import torch
        from transformers.utils import logging

        logging.disable_progress_bar()
        try:
            network, told = cls.from_pretrained(self.path, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True)
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            reason = (str(error) or type(error).__name__).strip().splitlines()[0]
            raise ExtractorError(f"{self.called} can't be loaded{self._there} ({reason}); get its files again") from error
        finally:
            logging.enable_progress_bar()
        if lost := [*told["missing_keys"], *told["mismatched_keys"]]:
            raise ExtractorError(f"{self.called} lacks {len(lost)} weights, {lost[0]} among them; get its files again")
        return network.eval().to("cuda" if torch.cuda.is_available() else "cpu")

    def _read(self, name: str) -> dict[str, Any]:
        try:
            content = json.loads((self.path / name).read_text("utf-8"))
        except FileNotFoundError:
            raise ExtractorError(f"{self.called} has no {name}{self._there}; give a model as transformers saves it") from None
        except (OSError, ValueError, RecursionError) as error:
            raise ExtractorError(f"{self.path / name} can't be read ({error}); get it again") from error
        if not isinstance(content, dict):
            raise ExtractorError(f"{self.path / name} holds no object; get it again")
        return content


def model_folder(asked: Asked, *, with_weights: bool = True) -> ModelFolder:
    """Find a model: a folder, or a repository of the hub.

    Args:
        asked: Its `model` is a folder, or `owner/name`, perhaps with `@revision`.
        with_weights: Whether its weights are needed, or only what says how pictures and texts are read.

    Returns:
        Its folder. Of a repository only .safetensors and small files are downloaded, and only if `fetch` says so.

    Raises:
        ExtractorError: It isn't there, in seconds also without a network.
    """
    folder = Path(asked.model).expanduser()
    if folder.is_dir():
        return ModelFolder(folder, asked.model)
    match = hub.HUB_ID.fullmatch(asked.model)
    if match is None:
        raise ExtractorError(
            f"{asked.name}: there is no folder {asked.model}; allowed is a folder, or a hub id such as owner/name or owner/name@revision"
        )
    name, revision = match.groups()
    repository = hub.Repository(name, revision or "main")
    if asked.fetch:
        try:
            return _brought(repository, asked) if with_weights else ModelFolder(repository.fetch_files(*SMALL), asked.model)
        except CheckpointError as error:
            raise ExtractorError(f"{asked.name}: {error}") from error
    with hub.only_cached():
        try:
            return _brought(repository, asked) if with_weights else ModelFolder(repository.fetch_files(*SMALL), asked.model)
        except CheckpointError as error:
            raise ExtractorError(
                f"{asked.name}: {asked.model} is not wholly in the local cache, and nothing is downloaded unasked; run once with --fetch, or "
                f"`hf download {name}`, or give the folder that holds it"
            ) from error


def _brought(repository: hub.Repository, asked: Asked) -> ModelFolder:
    names = [name for name in repository.files(".safetensors") if "/" not in name]
    if WEIGHTS in names:
        wanted = [WEIGHTS]
    elif shards := [name for name in names if re.fullmatch(r"model-\d+-of-\d+\.safetensors", name)]:
        wanted = shards
    elif names or asked.fetch:
        raise ExtractorError(_without_weights(asked.model, asked.model))
    else:
        raise CheckpointError("nothing of it is there")
    return ModelFolder(repository.fetch_files(*SMALL, *wanted), asked.model)


def _without_weights(called: str, place: str) -> str:
    return (
        f"{called} has no {WEIGHTS}, and weights are read from .safetensors files alone; take a revision that has one ({place}@REVISION), or convert "
        "it on a machine you trust: AutoModel.from_pretrained(NAME).save_pretrained(FOLDER), and copy preprocessor_config.json beside it"
    )
