"""All of a pipeline in one .safetensors file, or in the shards of one, in the layout Stable Diffusion was published in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdxl_lab import progress
from sdxl_lab.checkpoints import original_layout as layout
from sdxl_lab.checkpoints.configurations import INDEX, MODELS, SHARED, components_in, read_json
from sdxl_lab.checkpoints.files import PipelineFolder, failures_named, needs_float32, pipeline_class, shards_in
from sdxl_lab.checkpoints.weight_files import (
    BASES,
    GENERATIONS,
    REFINER,
    SUFFIX,
    VAE_ALONE,
    CheckpointError,
    Header,
    header_of,
    kind_of,
    require_kind,
)
from sdxl_lab.families import FAMILIES, OTHER, Architecture, Family
from sdxl_lab.files import digests
from sdxl_lab.process.quiet import unsaid

if TYPE_CHECKING:
    import torch

SHARDED = f"{SUFFIX}.index.json"
"""How the name of what lists the shards of a file ends."""

PREDICTIONS: Mapping[str, str] = {"epsilon": "epsilon", "v": "v_prediction"}
"""Values of `compute.prediction`, as schedulers have them."""

OTHER_CHANNELS: Mapping[int, str] = {
    5: "Stable Diffusion 2 for depth maps",
    7: "an upscaler of Stable Diffusion",
    8: "InstructPix2Pix",
}
"""UNets that are told another picture in other ways than by a mask."""

_STEM = re.compile(r"(.+?)(-\d{5}-of-(\d{5}))?(\.safetensors)?(\.index\.json)?", re.IGNORECASE)
_FLOATS = re.compile(r"F(64|32|16|8_E4M3|8_E5M2)|BF16")
_SCALED = re.compile(r"scaled_fp8|.*\.(scale_weight|weight_scale|comfy_quant)")


def file_meant_by(path: Path) -> Path | None:
    """Find the single file that a path means.

    Args:
        path: A .safetensors file; or of one in shards its index, any of them, or what their names begin with.

    Returns:
        The file, or the index of its shards; None if there is none.

    Raises:
        CheckpointError: It is a shard without an index beside it.
    """
    match = _STEM.fullmatch(path.name)
    if match is None:
        return None
    stem, shard, count = match[1], match[2], match[3]
    if path.is_file() and path.suffix.lower() == SUFFIX and not shard:
        return path
    if index := beside(path, f"{stem}{SHARDED}"):
        return index
    if shard and path.is_file():
        raise CheckpointError(
            f"{path} is one of {int(count)} shards, and {stem}{SHARDED}, which lists them, is not beside it; download it from where the shards are."
        )
    return None


def beside(path: Path, name: str) -> Path | None:
    """A file of that name, in small letters or capitals, in the folder of a path."""
    try:
        return next((file for file in sorted(path.parent.iterdir()) if file.name.lower() == name.lower() and file.is_file()), None)
    except OSError:
        return None


@dataclass(frozen=True)
class SingleFile:
    """A single file, found; nothing of it is in memory.

    Attributes:
        path: The file, or the index of its shards.
        is_refiner: Whether VAE and text encoders come from the base.
    """

    path: Path
    is_refiner: bool = False

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """The file, or its shards.

        Raises:
            CheckpointError: The index names none, or one that is not a file beside it.
        """
        if self.path.suffix.lower() == SUFFIX:
            return (self.path,)
        return tuple(self.path.parent / name for name in shards_in(self.path))

    @cached_property
    def header(self) -> Header:
        """What its files say of their weights.

        Raises:
            CheckpointError: One is missing, or no whole .safetensors file.
        """
        return Header.of_all(header_of(file) for file in self.files)

    @cached_property
    def generation(self) -> int | None:
        """Of Stable Diffusion before XL: 1 or 2; None of XL, and of what is no checkpoint.

        Raises:
            CheckpointError: It is no whole file.
        """
        return GENERATIONS.get(kind_of(self.header.shapes))

    @property
    def architecture(self) -> Architecture:
        """What tells how its models are built, as far as its weights do; as `in_channels` raises."""
        if self.is_refiner:
            return None
        return (self.generation, self.in_channels) if self.generation else self.in_channels

    @cached_property
    def in_channels(self) -> int:
        """Input channels of its UNet: 9 if it was trained to inpaint.

        Raises:
            CheckpointError: It is no whole file, or of another kind.
        """
        shapes = self.header.shapes
        require_kind(self.path, shapes, *((REFINER,) if self.is_refiner else BASES))
        first = self.unet().get(layout.FIRST_LAYER)
        if first is None:
            raise CheckpointError(f"{self.path} holds no UNet, no weight called {layout.FIRST_LAYER}; take a file that holds all parts.")
        return shapes[first][1] if len(shapes[first]) == 4 else 0

    @property
    def has_vae(self) -> bool:
        """Whether it holds a VAE itself."""
        return any(name.startswith(layout.VAE) for name in self.header.shapes)

    @property
    def has_ema(self) -> bool:
        """Whether it holds averages of its UNet's weights over the training."""
        return bool(layout.averages(self.header.shapes))

    @property
    def has_plain(self) -> bool:
        """Whether it holds its UNet's weights as the training left them."""
        return any(name.startswith(layout.UNET) for name in self.header.shapes)

    @cached_property
    def vae_beside(self) -> Path | None:
        """The VAE that somebody put beside it under its name, as `name.vae.safetensors`: it takes the place of the file's own, as in other tools."""
        stem = _STEM.fullmatch(self.path.name)
        return None if self.is_refiner or stem is None else beside(self.path, f"{stem[1]}.vae{SUFFIX}")

    @cached_property
    def yaml_beside(self) -> Path | None:
        """The configuration that lies beside it under its name, as `name.yaml`, where nothing in the file tells what its UNet predicts."""
        stem = _STEM.fullmatch(self.path.name)
        return beside(self.path, f"{stem[1]}.yaml") if self.asks_for_prediction and stem else None

    @property
    def asks_for_prediction(self) -> bool:
        """Whether the same weights may have been trained on either noise: Stable Diffusion 2's were, with 4 channels."""
        return self.architecture == (2, 4) and not layout.scheduling(self.header.shapes)

    @property
    def scheduling(self) -> Mapping[str, str | bool]:
        """What it says of the noise that its UNet was trained on, or the .yaml beside it, as keys of a scheduler's configuration.

        Raises:
            CheckpointError: The .yaml cannot be read, or says something else than `eps` or `v`.
        """
        if self.yaml_beside:
            told = _told_by(self.yaml_beside)
            return {"prediction_type": told} if told else {}
        return layout.scheduling(self.header.shapes)

    def scheduled(self, prediction: str | None) -> Mapping[str, str | bool]:
        """What is known of the noise that its UNet was trained on, as `scheduling` has it.

        Args:
            prediction: As `compute.prediction` has it, which `require_prediction` looks at.
        """
        return {**self.scheduling, **({"prediction_type": PREDICTIONS[prediction]} if prediction else {})}

    def predicts(self, prediction: str | None) -> str | None:
        """What its UNet predicts, as schedulers have it, as far as that is known.

        Args:
            prediction: As `compute.prediction` has it.
        """
        told = self.scheduled(prediction).get("prediction_type")
        return str(told) if told else None

    def require_prediction(self, prediction: str | None) -> None:
        """See that it is known what its UNet predicts.

        Args:
            prediction: As `compute.prediction` has it.

        Raises:
            CheckpointError: The file says something else; or it says nothing, and nobody else does either.
        """
        own = self.predicts(None)
        if prediction and own not in (None, PREDICTIONS[prediction]):
            by = self.yaml_beside.name if self.yaml_beside else "its key v_pred"
            raise CheckpointError(f"compute.prediction is {prediction!r}, but {self.path} predicts {own}, as {by} says; leave it out.")
        if not prediction and not own and self.asks_for_prediction:
            stem = _STEM.fullmatch(self.path.name)
            raise CheckpointError(
                f"{self.path} is Stable Diffusion 2, whose weights do not tell what its UNet predicts; taken for the wrong one it makes noise. Set "
                "compute.prediction to epsilon (2-base and 2.1-base, for 512x512) or to v (2 and 2.1, for 768x768), or put the .yaml that it was "
                f"published with beside it, as {stem[1] if stem else self.path.stem}.yaml."
            )

    def unet(self, weights: str | None = None) -> dict[str, str]:
        """Where its UNet's weights are.

        Args:
            weights: `plain` or `ema`, as `compute.weights` has them; None for the plain ones if they are there.

        Returns:
            By the name of a weight the one under which it is stored.

        Raises:
            CheckpointError: It does not hold what was asked for, or of the averages only some.
        """
        shapes = self.header.shapes
        plain = [name for name in shapes if name.startswith(layout.UNET)]
        if weights == "plain" and not plain:
            raise CheckpointError(f"compute.weights is 'plain', but {self.path} holds EMA weights alone; leave it out, or take 'ema'.")
        if weights == "ema" and not self.has_ema:
            raise CheckpointError(f"compute.weights is 'ema', but {self.path} holds no EMA weights; leave it out.")
        if plain and weights != "ema":
            return {name: name for name in plain}
        stored = {name: layout.averaged(name) for name in plain} or {layout.parameter(name): name for name in layout.averages(shapes)}
        if odd := next((average for name, average in stored.items() if name is None), None):
            raise CheckpointError(f"{self.path} holds {odd}, which is of no UNet of Stable Diffusion; take another file.")
        if lost := [name for name, average in stored.items() if average not in shapes]:
            raise CheckpointError(
                f"{self.path} holds no EMA weights of {len(lost)} of its UNet's {len(stored)} weights, {lost[0]} first; leave compute.weights out, "
                "or take another file."
            )
        return {name: average for name, average in stored.items() if name is not None}

    def check(self) -> None:
        """See that the file is whole, and a base or a refiner as is needed.

        Raises:
            CheckpointError: It is not.
        """
        if self.in_channels not in (4, 9):
            what = f", as {OTHER_CHANNELS[self.in_channels]} does" if self.in_channels in OTHER_CHANNELS else ""
            raise CheckpointError(
                f"{self.path} takes {self.in_channels} channels{what}; allowed are 4 or 9: a UNet for pictures, or one for inpainting."
            )
        shapes, dtypes = self.header.shapes, self.header.dtypes
        if scaled := next((name for name in shapes if _SCALED.fullmatch(name)), None):
            raise CheckpointError(f"{self.path} is stored in 8 bits with scales ({scaled}), which are not read here; take its file in 16 bits.")
        numbers = {name: dtype for name, dtype in dtypes.items() if name.startswith((layout.UNET, layout.EMA, layout.VAE))}
        if odd := next((name for name, dtype in numbers.items() if not _FLOATS.fullmatch(dtype) and name not in layout.COUNTERS), None):
            raise CheckpointError(f"{self.path} is quantized: {odd} is stored as {dtypes[odd]}; take its file in 16 bits.")
        if self.vae_beside:
            require_kind(self.vae_beside, header_of(self.vae_beside).shapes, VAE_ALONE)

    def looked_at(self) -> list[Path]:
        """All that decides what `check` and `digest` find: the files, and the folder in which a VAE may lie beside them."""
        return [self.path.parent, self.path, *self.files, *self._beside]

    @property
    def _beside(self) -> list[Path]:
        """What lies beside it under its name and makes other pictures."""
        return [file for file in (self.vae_beside, self.yaml_beside) if file]

    def digest(self, called: str | None = None) -> str:
        """sha256, hex, of the files that are read, and of their names.

        Args:
            called: As if it had this name, and the VAE beside it one to match; names of shards stand in their index, and are what they are.
        """
        files = [self.path, *self.files, *self._beside]
        names = {file: file.relative_to(self.path.parent).as_posix() for file in files}
        own, other = _STEM.fullmatch(self.path.name), _STEM.fullmatch(called or "")
        if own and other and called:
            is_whole = other[4] and not other[3] and not other[5] and self.path.suffix.lower() == SUFFIX
            named = {file: f"{other[1]}{file.name[len(own[1]) :]}" for file in (self.path, *self._beside)}
            names |= named | ({self.path: called} if is_whole else {})
        return digests.digest_of_listing((name, digests.digest_of_file(file)) for file, name in names.items())

    def load(
        self,
        dtype: torch.dtype,
        shared: Mapping[str, Any],
        *,
        configuration: Path,
        family: Family = FAMILIES[OTHER],
        weights: str | None = None,
    ) -> Any:
        """The pipeline, its VAE in float32 wherever it needs that to stay exact.

        Args:
            dtype: Of UNet and text encoders.
            shared: Components that are taken instead of the file's own, as far as the configuration names them.
            configuration: A folder in diffusers' layout, with or without weights: what the file does not say of itself.
            family: Which says what pipeline it becomes.
            weights: Which of the UNet's, as in `unet`.
        """
        progress.tell("loading diffusers")
        kind = pipeline_class(family.pipelines["inpaint"])
        import torch

        index = read_json(configuration / INDEX)
        given = {name: model for name, model in shared.items() if name in components_in(index)}
        needed = [name for name in MODELS if name in components_in(index) and name not in given]
        who = "the refiner" if self.is_refiner else "the base"
        with failures_named(self.path, who), unsaid("diffusers.models.modeling_utils", "There are modules in"):  # that none are to be wide
            for number, name in enumerate(needed, 1):
                progress.tell(f"loading {who}: {name}", done=number, total=len(needed), unit="component")
                is_wide = name == "vae" and needs_float32(read_json(configuration / "vae" / "config.json"), dtype, family)
                given[name] = self._model(name, index[name][1], configuration, torch.float32 if is_wide else dtype, weights)
            return kind.from_pretrained(configuration, dtype=dtype, **family.told, **given)

    def _model(self, name: str, class_name: str, configuration: Path, dtype: torch.dtype, weights: str | None) -> Any:
        read = self._read(name, weights)
        if name in ("unet", "vae"):
            import diffusers

            return getattr(diffusers, class_name).from_single_file(read, config=str(configuration), subfolder=name, dtype=dtype)
        import transformers
        from diffusers.loaders.single_file_utils import create_diffusers_clip_model_from_ldm

        # The pipeline's own method takes the first text encoder for the second where both are of one width, so each gets its own weights alone.
        return create_diffusers_clip_model_from_ldm(
            getattr(transformers, class_name), read, subfolder=name, config=str(configuration), torch_dtype=dtype, local_files_only=True
        )

    def _read(self, model: str, weights: str | None) -> dict[str, torch.Tensor]:
        """The weights of a model as they are stored, in the memory of the files until somebody changes them."""
        from safetensors import safe_open

        files, stored = (self.vae_beside,) if model == "vae" and self.vae_beside else self.files, self.stored(model, weights)
        wanted, read = {there: name for name, there in stored.items()}, {}
        for path in files:
            with safe_open(path, "pt") as file:
                read |= {wanted[there]: file.get_tensor(there) for there in file.keys() if there in wanted}  # noqa: SIM118 - the file is no mapping
        return read

    def stored(self, model: str, weights: str | None = None) -> dict[str, str]:
        """Where the weights of a model are.

        Args:
            model: One of `MODELS`.
            weights: Of a UNet, as in `unet`.

        Returns:
            By the name of a weight in the layout the one under which it is stored, in `vae_beside` for a VAE if there is one.
        """
        if model == "unet":
            return self.unet(weights)
        if model == "vae" and self.vae_beside:
            return {name: name for name in header_of(self.vae_beside).shapes}
        if model == "text_encoder" and self.generation:
            return layout.text_names(self.header.shapes, self.generation)
        return {name: name for name in self.header.shapes if name.startswith(self.prefix(model))}

    def prefix(self, model: str) -> str:
        """How the names of a model's weights begin in the layout; of XL's text encoders up to a number, which is 0 for the only one of a refiner."""
        if model in ("unet", "vae"):
            return layout.UNET if model == "unet" else layout.VAE
        if self.generation:
            return layout.CLIP if self.generation == 1 else layout.OPEN_CLIP
        return f"{layout.TEXT}{'0' if self.is_refiner or model == 'text_encoder' else '1'}."

    def is_open_clip(self, model: str) -> bool:
        """Whether a text encoder's weights are called as OpenCLIP has them, and not as transformers does."""
        return self.generation == 2 or (self.generation is None and model == "text_encoder_2")

    def shapes(self, model: str, weights: str | None = None) -> dict[str, tuple[int, ...]]:
        """Shapes of a model's weights by their names in the layout; the arguments are those of `stored`."""
        header = header_of(self.vae_beside) if model == "vae" and self.vae_beside else self.header
        return {name: header.shapes[there] for name, there in self.stored(model, weights).items()}

    def models(self, components: Iterable[str]) -> list[str]:
        """Names of the models that are read from here, of the components that a pipeline has."""
        lent = SHARED if self.is_refiner else () if self.has_vae or self.vae_beside else ("vae",)
        others = ("text_encoder_2",) if self.generation else ()
        return [name for name in MODELS if name in components and name not in (*lent, *others)]


def _told_by(file: Path) -> str | None:
    """What a .yaml beside a file says that its UNet predicts; None if it is of something else."""
    import yaml

    try:
        config = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:100]
        raise CheckpointError(
            f"{file} cannot be read as the configuration of the checkpoint beside it ({reason}); take it from its source."
        ) from None
    try:
        return layout.parameterization(config)
    except KeyError as error:
        raise CheckpointError(f"{file} has parameterization {error}; allowed are eps and v: take it from its source.") from None


Part = PipelineFolder | SingleFile
"""What a checkpoint on this machine is made of: a base, and perhaps a refiner."""
