"""An Inception network as a TorchScript file that the user has, such as the one that StyleGAN's authors published and most tables rest on."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sdxl_lab.extractors._extractor import Asked, Extractor, ExtractorError, Kind
from sdxl_lab.files.digests import digest_of_file
from sdxl_lab.files.places import misread
from sdxl_lab.wording import counted

NAME = "inception"

KNOWN = {"f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4": "inception-2015-12-05.pt of StyleGAN2-ADA, which clean-fid takes too"}
"""SHA-256 of the files that are loaded without being insisted upon: a TorchScript file is a program."""

ADVICE = (
    "give the path of a TorchScript file that takes pictures as uint8 (N, 3, H, W) and gives a row of features for each, such as "
    "inception-2015-12-05.pt of StyleGAN2-ADA (--model FILE)"
)


class Inception(Extractor):
    """A network of a TorchScript file, called as StyleGAN's: uint8 in, `return_features=True` where its forward has that.

    Args:
        name: As `Extractor` takes it.
        file: The file.
        sha256: Of its content.
    """

    def __init__(self, name: str, file: Path, sha256: str) -> None:
        super().__init__(name, str(file))
        self.file = file
        self._sha256 = sha256

    @property
    def weights(self) -> str:
        """SHA-256 of the file, which is network and weights in one."""
        return self._sha256

    def preprocessing(self) -> dict[str, Any]:
        """Nothing here: the file resizes by itself, StyleGAN's bilinearly to 299x299 without antialiasing, as TensorFlow 1 did."""
        return {"levels": "uint8", "resize": "in the file"}

    def load(self) -> Any:
        """The network, on a GPU where there is one."""
        import torch

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit is on its way out, and these files are what there is
                network = torch.jit.load(str(self.file), map_location="cpu").eval()
        except (RuntimeError, OSError, ValueError) as error:
            reason = (str(error) or type(error).__name__).strip().splitlines()[0]
            raise ExtractorError(f"{self.file} is no TorchScript file that can be read ({reason}); {ADVICE}") from error
        return network.to("cuda" if torch.cuda.is_available() else "cpu")

    def embed(self, images: list[Image.Image]) -> np.ndarray:
        """Features, 2048 of StyleGAN's file."""
        return self._called(images, {"return_features": True})

    def classify(self, images: list[Image.Image]) -> np.ndarray:
        """Probabilities, without the bias of the last layer where the file can leave it out, as the first Inception Scores were computed."""
        if "return_features" not in self._takes:
            raise ExtractorError(f"{self.file} gives features and no classes; for `is` give a file whose forward has return_features")
        return self._called(images, {"no_output_bias": True})

    @property
    def _takes(self) -> set[str]:
        return {argument.name for argument in self.network.forward.schema.arguments}

    def _called(self, images: list[Image.Image], wanted: dict[str, bool]) -> np.ndarray:
        import torch

        levels = torch.from_numpy(np.stack([np.asarray(image) for image in images]).transpose(0, 3, 1, 2).copy())
        device = next((weight.device for weight in self.network.parameters()), torch.device("cpu"))
        try:
            with torch.no_grad():
                given = self.network(levels.to(device), **{key: value for key, value in wanted.items() if key in self._takes})
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise ExtractorError(
                f"{self.file} does not take {counted(len(images), 'picture')} of {images[0].width}x{images[0].height} ({reason}); {ADVICE}"
            ) from error
        if not isinstance(given, torch.Tensor) or len(given) != len(images):
            raise ExtractorError(f"{self.file} gives something else than a row for each picture; {ADVICE}")
        return given.float().cpu().numpy()


def _open(asked: Asked) -> Extractor:
    if reason := misread(asked.model, "file"):
        raise ExtractorError(f"inception: got {asked.model!r}; {reason}")
    file = Path(asked.model).expanduser()
    if not file.is_file():
        raise ExtractorError(f"inception: there is no file {file}; {ADVICE}")
    found, insisted = digest_of_file(file), (asked.sha256 or "").lower()
    if insisted and not re.fullmatch(r"[0-9a-f]{64}", insisted):
        raise ExtractorError(f"inception: got {asked.sha256!r} as sha256; allowed are 64 hexadecimal digits, as sha256sum prints them")
    if insisted and insisted != found:
        raise ExtractorError(f"inception: {file} has sha256 {found}, not {insisted}; it is another file, or damaged: get it again")
    if not insisted and found not in KNOWN:
        raise ExtractorError(
            f"inception: {file} is unknown (sha256 {found}), and a TorchScript file is a program that loading runs; if you trust it, say so: "
            f"--sha256 {found}. Known is {', '.join(KNOWN.values())}"
        )
    return Inception(asked.name, file, found)


KIND = Kind(
    sentence="an Inception network as a TorchScript file that you have, such as StyleGAN2-ADA's",
    open=_open,
    advice=ADVICE,
    classifies=True,
)
