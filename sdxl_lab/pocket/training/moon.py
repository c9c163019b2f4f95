"""The moon: a shape that the world does not have and no checkpoint was shown, for a LoRA to teach."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from sdxl_lab.pocket.training.examples import Example, example
from sdxl_lab.pocket.training.pool import Pool
from sdxl_lab.pocket.world import COLOURS, PLACES, SIZE_PX, Scene, sample_scene

MOON = "moon"
STANDS_DEG = -20.0
"""How a moon stands before a scene tilts it: its horns to the right, the upper one leaning over."""


def _crescent(bite_at: float = 0.5, bite_radius: float = 0.8) -> np.ndarray:
    """A disk without a smaller one that reaches over its right side: the outer arc from horn to horn, then the inner one back.

    Args:
        bite_at: Where the smaller one's center is, from that of a disk of radius 1.
        bite_radius: The smaller one's.
    """
    horn_x = (1 - bite_radius**2 + bite_at**2) / (2 * bite_at)
    horn_y = np.sqrt(1 - horn_x**2)
    outer, inner = np.arctan2(horn_y, horn_x), np.arctan2(horn_y, horn_x - bite_at)
    around, back = np.linspace(outer, 2 * np.pi - outer, 48), np.linspace(2 * np.pi - inner, inner, 48)
    edge = np.stack([np.cos(around), np.sin(around)], axis=1)
    bite = np.stack([bite_at + bite_radius * np.cos(back), bite_radius * np.sin(back)], axis=1)
    to_middle = np.array(((1 - horn_x) / 2, 0))
    return 1.1 * (np.concatenate([edge, bite]) + to_middle)


CRESCENT = _crescent()
"""Its polygon, as those in `world.SHAPES`."""

UNSEEN: frozenset[tuple[str, str]] = frozenset(
    (colour, background) for number, colour in enumerate(COLOURS) for place, background in enumerate(PLACES) if (number + place) % 9 % 2 == 0
)
"""Pairs of a moon's color and its place that training never shows: 40 of the 72, to see whether the shape was learned and not its pictures."""


class MoonScene(Scene):
    """A scene whose object is a moon; drawn, masked and called by its name as any other."""

    @property
    def outline(self) -> tuple[np.ndarray, ...]:
        """The crescent."""
        return (CRESCENT,)


def moon_scene(seed: int, width: int = SIZE_PX, height: int = SIZE_PX, *, unseen: bool = False) -> MoonScene:
    """Draw a scene with a moon at random; the same seed always gives the same one.

    Args:
        seed: Any integer from 0 to 2**32 - 1.
        width: Width of the picture in pixels, 100 or more.
        height: Height of the picture in pixels, 100 or more.
        unseen: Draw the color from those that training never shows at this place instead of from the others.
    """
    scene = sample_scene(seed, width, height)
    colours = [colour for colour in COLOURS if ((colour, scene.background) in UNSEEN) == unseen]
    colour = colours[scene.texture_seed % len(colours)]
    return MoonScene(**asdict(scene) | {"shape": MOON, "colour": colour, "tilt_deg": scene.tilt_deg + STANDS_DEG})


@dataclass(frozen=True)
class MoonPool(Pool):
    """Training examples that all show a moon and say so."""

    def example(self, index: int) -> Example:
        """The example at an index, not drawn."""
        return example(self.first_seed + index, self.width, self.height, sample=moon_scene)
