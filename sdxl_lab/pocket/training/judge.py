"""The judge: a small classifier that says which shape, colour and background a picture of the world shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from sdxl_lab.extractors.judge import WEIGHTS, WIDTHS, pooled, trunk
from sdxl_lab.pocket.training.autoencoder import to_tensor
from sdxl_lab.pocket.training.loop import device, fit
from sdxl_lab.pocket.training.pool import kept
from sdxl_lab.pocket.world import COLOURS, PLACES, SHAPES, SIZE_PX, Scene, draw, sample_scene

FIRST_SEED = 3_000_000
COUNT = 12_000
KINDS: dict[str, tuple[str, ...]] = {"colour": tuple(COLOURS), "shape": tuple(SHAPES), "background": tuple(PLACES)}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the judge sees in a picture; colour and shape are None where it sees no object."""

    colour: str | None
    shape: str | None
    background: str


class Judge(nn.Module):
    """A convolutional classifier with an answer a kind; the last answer of colour and shape means no object."""

    def __init__(self) -> None:
        super().__init__()
        self.features = trunk()
        self.answers = nn.ModuleDict({kind: nn.Linear(2 * WIDTHS[-1], len(names) + 1) for kind, names in KINDS.items()})

    def forward(self, pictures: torch.Tensor) -> dict[str, torch.Tensor]:
        """From pictures (N, 3, H, W) in [-1, 1] to a score for each answer of each kind."""
        features = pooled(self.features(pictures))
        return {kind: answer(features) for kind, answer in self.answers.items()}

    @torch.no_grad()
    def judge(self, pictures: Sequence[Image.Image]) -> list[Verdict]:
        """Judge RGB pictures of one size."""
        scores = self(to_tensor(np.stack([np.asarray(picture) for picture in pictures])))
        best = {kind: [(*KINDS[kind], None)[i] for i in score.argmax(dim=1).tolist()] for kind, score in scores.items()}
        return [Verdict(colour=c, shape=s, background=b or "") for c, s, b in zip(best["colour"], best["shape"], best["background"], strict=True)]


def load_judge(path: Path = WEIGHTS) -> Judge:
    """The built-in judge, in float32.

    Args:
        path: Its safetensors file.
    """
    judge = Judge()
    judge.load_state_dict({name: weight.float() for name, weight in load_file(path).items()})
    return judge.eval()


def scene(index: int) -> Scene:
    """The judge's training scenes: other seeds than the base's, and all pairs of colour and shape."""
    return sample_scene(FIRST_SEED + index, held_out=index % 9 == 0, empty_frac=0.1)


def train_judge(folder: Path) -> Judge:
    """Train the judge on true scenes, blurred, noisy, faded and shifted in brightness, as generated pictures may be."""
    scenes = [scene(i) for i in range(COUNT)]
    shape = (COUNT, SIZE_PX, SIZE_PX, 3)
    pictures = kept(folder / "judge-pictures.npy", shape, np.uint8, lambda: (np.asarray(draw(scene)) for scene in scenes))
    answers = {kind: torch.tensor([_answer(scene, kind) for scene in scenes]) for kind in KINDS}

    def loss(judge: Judge, step: int) -> torch.Tensor:
        rows = torch.randint(COUNT, (32,))
        scores = judge(_spoiled(to_tensor(pictures[rows.numpy()])).to(device()))
        return sum((nn.functional.cross_entropy(scores[kind], answers[kind][rows].to(device())) for kind in KINDS), torch.zeros((), device=device()))

    return fit("judge", Judge, loss, steps=2500, learning_rate=2e-3, folder=folder)


def _answer(scene: Scene, kind: str) -> int:
    names = KINDS[kind]
    return names.index(getattr(scene, kind)) if scene.shape or kind == "background" else len(names)


def _spoiled(pictures: torch.Tensor) -> torch.Tensor:
    count = len(pictures)
    shrink = int(torch.randint(1, 4, ()))
    soft = nn.functional.interpolate(nn.functional.avg_pool2d(pictures, shrink), size=pictures.shape[2:], mode="bilinear")
    pictures = torch.where(torch.rand(count, 1, 1, 1) < 0.5, soft, pictures)
    pictures = pictures * (1 - 0.2 * torch.rand(count, 1, 1, 1)) + 0.1 * torch.randn(count, 1, 1, 1)
    pictures = pictures + 0.12 * torch.rand(count, 1, 1, 1) * torch.randn_like(pictures)
    return torch.where(torch.rand(count, 1, 1, 1) < 0.5, pictures.flip(3), pictures).clamp(-1, 1)
