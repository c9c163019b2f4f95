"""The synthetic world of the pocket checkpoint: from a seed, a scene, its picture, its caption and its object's mask.

A scene is one coloured shape on one background, or an empty background. Eight backgrounds, nine colours and eight
shapes are few enough to learn in minutes and different enough to see whether a prompt was obeyed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIZE_PX = 128
SUPERSAMPLING = 4

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (222, 40, 42),
    "orange": (244, 138, 24),
    "yellow": (246, 220, 48),
    "green": (40, 172, 60),
    "cyan": (40, 206, 214),
    "blue": (44, 84, 222),
    "purple": (136, 58, 204),
    "pink": (246, 116, 190),
    "white": (240, 240, 240),
}

PLACES: dict[str, str] = {
    "sky": "in the sky",
    "beach": "on the beach",
    "grass": "on grass",
    "sunset": "at sunset",
    "night": "at night",
    "snow": "in the snow",
    "brick": "on a brick wall",
    "wood": "on wood",
}
"""Backgrounds, and how a caption says where the object is."""

EMPTY: dict[str, str] = {
    "sky": "the sky",
    "beach": "the beach",
    "grass": "grass",
    "sunset": "a sunset",
    "night": "the night",
    "snow": "snow",
    "brick": "a brick wall",
    "wood": "wood",
}
"""Captions of scenes without an object."""

RADII_PX: dict[str, tuple[float, float]] = {"small": (16, 20), "medium": (23, 29), "large": (33, 40)}


def _ring(points: int, radius: float, phase_deg: float = -90) -> np.ndarray:
    angles = np.deg2rad(phase_deg + np.arange(points) * 360 / points)
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _star() -> np.ndarray:
    return np.stack([_ring(5, 1.08), _ring(5, 0.45, -54)], axis=1).reshape(-1, 2)


def _heart() -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return np.stack([x, y], axis=1) / 16.5 - np.array((0, 0.12))


def _cross(arm: float = 0.34) -> np.ndarray:
    a = arm
    return np.array([(-a, -1), (a, -1), (a, -a), (1, -a), (1, a), (a, a), (a, 1), (-a, 1), (-a, a), (-1, a), (-1, -a), (-a, -a)])


SHAPES: dict[str, tuple[np.ndarray, ...]] = {
    "circle": (_ring(64, 0.95),),
    "square": (_ring(4, 1.16, -45),),
    "triangle": (_ring(3, 1.15) + np.array((0, 0.2)),),
    "star": (_star(),),
    "heart": (_heart(),),
    "diamond": (_ring(4, 1.12) * (0.78, 1.0),),
    "ring": (_ring(64, 1.0), _ring(64, 0.52)),
    "cross": (_cross(),),
}
"""Polygons in units of the object's radius, y downwards; a second polygon is a hole."""

HELD_OUT: frozenset[tuple[str, str]] = frozenset(
    {
        ("red", "heart"),
        ("orange", "star"),
        ("yellow", "ring"),
        ("green", "diamond"),
        ("cyan", "circle"),
        ("blue", "cross"),
        ("purple", "square"),
        ("pink", "triangle"),
    }
)
"""Pairs of color and shape that training never shows, to see whether the model composes."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What a picture of the world shows.

    Attributes:
        background: A key of `PLACES`.
        colour: A key of `COLOURS`, or None for an empty scene.
        shape: A key of `SHAPES`, or None for an empty scene.
        size: A key of `RADII_PX`.
        width: Width of the picture in pixels.
        height: Height of the picture in pixels.
        x_px: Where the object's center is, from the left.
        y_px: Where the object's center is, from the top.
        radius_px: The object's radius.
        tilt_deg: The object's rotation, clockwise.
        texture_seed: Seed of the background's clouds, grain and bricks.
        texture_scale: Size of the background's pattern, 1.0 as designed.
    """

    background: str
    colour: str | None
    shape: str | None
    size: str
    width: int
    height: int
    x_px: float
    y_px: float
    radius_px: float
    tilt_deg: float
    texture_seed: int
    texture_scale: float

    @property
    def outline(self) -> tuple[np.ndarray, ...]:
        """The object's polygons, as `SHAPES` has them; none for an empty scene."""
        return SHAPES[self.shape] if self.shape is not None else ()


def sample_scene(seed: int, width: int = SIZE_PX, height: int = SIZE_PX, *, held_out: bool = False, empty_frac: float = 0.0) -> Scene:
    """Draw a scene at random; the same seed always gives the same scene.

    Args:
        seed: Any integer from 0 to 2**32 - 1.
        width: Width of the picture in pixels, 100 or more, so that the largest object fits.
        height: Height of the picture in pixels, 100 or more.
        held_out: Draw the colour and shape from the held-out pairs instead of from the others.
        empty_frac: Share of scenes without an object, in [0, 1].
    """
    rng = np.random.RandomState(seed)
    pairs = [(c, s) for c in COLOURS for s in SHAPES if ((c, s) in HELD_OUT) == held_out]
    background = list(PLACES)[rng.randint(len(PLACES))]
    colour, shape = pairs[rng.randint(len(pairs))]
    size = list(RADII_PX)[rng.randint(len(RADII_PX))]
    radius = rng.uniform(*RADII_PX[size])
    margin = radius + 6
    x, y = rng.uniform(margin, width - margin), rng.uniform(margin, height - margin)
    tilt, texture_seed, scale = rng.uniform(-10, 10), rng.randint(2**31), float(np.exp(rng.uniform(-0.2, 0.2)))
    if rng.uniform() < empty_frac:
        colour = shape = None
    return Scene(background=background, colour=colour, shape=shape, size=size, width=width, height=height, x_px=x, y_px=y,
                 radius_px=radius, tilt_deg=tilt, texture_seed=int(texture_seed), texture_scale=scale)  # fmt: skip


def caption(scene: Scene, *, say_size: bool = False, say_place: bool = True) -> str:
    """Describe a scene in the words the checkpoint knows, such as "a small red star on grass"."""
    if scene.shape is None:
        return EMPTY[scene.background]
    words = [str(scene.colour), scene.shape]
    if say_size:
        words.insert(0, scene.size)
    if say_place:
        words.append(PLACES[scene.background])
    return " ".join(["an" if words[0] == "orange" else "a", *words])


def object_mask(scene: Scene) -> Image.Image:
    """The object's mask: mode "L", white on the object, antialiased, all black for an empty scene."""
    canvas = Image.new("L", (scene.width * SUPERSAMPLING, scene.height * SUPERSAMPLING))
    pen = ImageDraw.Draw(canvas)
    tilt = np.deg2rad(scene.tilt_deg)
    turn = np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]])
    for polygon, ink in zip(scene.outline, (255, 0), strict=False):
        corners = (polygon @ turn * scene.radius_px + (scene.x_px, scene.y_px)) * SUPERSAMPLING
        pen.polygon([(float(x), float(y)) for x, y in corners], fill=ink)
    return canvas.reduce(SUPERSAMPLING)


def draw(scene: Scene) -> Image.Image:
    """The scene's picture: mode "RGB", 8 bit, (width, height) pixels."""
    pixels = paint_background(scene)
    if scene.shape is not None:
        pixels = _with_object(pixels, scene)
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def _with_object(pixels: np.ndarray, scene: Scene) -> np.ndarray:
    mask = object_mask(scene)
    alpha = np.asarray(mask, np.float64)[..., None] / 255
    blurred = np.asarray(mask.filter(ImageFilter.GaussianBlur(3)), np.float64)[..., None] / 255
    shadow = np.pad(blurred, ((3, 0), (3, 0), (0, 0)))[:-3, :-3]
    y, x = np.mgrid[: scene.height, : scene.width]
    lit = 1 - 0.14 * ((x - scene.x_px) + (y - scene.y_px))[..., None] / (2 * scene.radius_px)
    rim = np.clip(2 * blurred - 1, 0, 1) ** 0.5
    colour = np.array(COLOURS[str(scene.colour)], np.float64) * lit * (0.62 + 0.38 * rim)
    return alpha * colour + (1 - alpha) * pixels * (1 - 0.35 * shadow)


def paint_background(scene: Scene) -> np.ndarray:
    """The scene's background alone: float64 of shape (height, width, 3), levels 0 to 255."""
    rng = np.random.RandomState(scene.texture_seed)
    y, x = np.mgrid[: scene.height, : scene.width].astype(np.float64)
    v = (y + 0.5) / scene.height
    return _PAINTERS[scene.background](x / scene.texture_scale, y / scene.texture_scale, v, rng)


def _mix(weight: np.ndarray, low: tuple[float, ...], high: tuple[float, ...]) -> np.ndarray:
    weight = np.clip(weight, 0, 1)[..., None]
    return (1 - weight) * np.array(low, np.float64) + weight * np.array(high, np.float64)


def _noise(x: np.ndarray, y: np.ndarray, rng: np.random.RandomState, wavelength_px: float, waves: int = 5) -> np.ndarray:
    """Smooth noise of about unit amplitude: plane waves of random direction and phase."""
    total = np.zeros_like(x)
    for angle, phase, stretch in rng.uniform((0, 0, 0.7), (np.pi, 2 * np.pi, 1.4), (waves, 3)):
        frequency = 2 * np.pi / (wavelength_px * stretch)
        along_x, along_y = x[:1] * np.cos(angle) * frequency + phase, y[:, :1] * np.sin(angle) * frequency
        total += np.sin(along_x) * np.cos(along_y) + np.cos(along_x) * np.sin(along_y)
    return total / np.sqrt(waves)


def _sky(x: np.ndarray, y: np.ndarray, v: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    clouds = np.clip(0.45 * _noise(x * 0.5, y, rng, 40) + 0.35 * _noise(x * 0.6, y, rng, 22) - 0.25, 0, 0.85)
    blue = _mix(v, (104, 160, 224), (184, 216, 244))
    return blue + clouds[..., None] * (np.array((250, 250, 252)) - blue)


def _beach(x: np.ndarray, y: np.ndarray, v: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    shore = rng.uniform(0.34, 0.5) + 0.012 * _noise(x, y * 0, rng, 70)
    sea = _mix(v / 0.45, (92, 158, 172), (120, 186, 190)) + (7 * np.sin(y * 2 * np.pi / 9 + _noise(x, y, rng, 60)))[..., None]
    sand = _mix((v - 0.4) / 0.6, (222, 202, 160), (206, 180, 134)) + (4 * _noise(x, y, rng, 18))[..., None]
    foam = np.exp(-(((v - shore) / 0.018) ** 2))[..., None]
    land = np.clip((v - shore) * 60 + 0.5, 0, 1)[..., None]
    return (1 - land) * sea + land * sand + 0.7 * foam * (248 - sand)


def _grass(x: np.ndarray, y: np.ndarray, v: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    blades = 9 * np.sin(x * 2 * np.pi / 7 + 1.5 * _noise(x, y, rng, 26)) * (0.6 + 0.4 * np.sin(y * 2 * np.pi / 17 + _noise(x, y, rng, 30)))
    return _mix(v, (112, 150, 78), (78, 118, 52)) + (blades + 6 * _noise(x, y, rng, 45))[..., None]


def _sunset(x: np.ndarray, y: np.ndarray, v: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    glow = _mix(v * 2, (92, 62, 116), (208, 104, 96))
    glow = np.where((v > 0.5)[..., None], _mix(v * 2 - 1, (208, 104, 96), (248, 190, 110)), glow)
    streaks = np.clip(_noise(x * 0.2, y * 1.3, rng, 24) - 0.5, 0, 1)[..., None]
    return glow - streaks * np.array((30, 26, 8))


def _night(x: np.ndarray, y: np.ndarray, v: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    dark = _mix(v, (14, 16, 40), (34, 36, 74)) + (4 * _noise(x, y, rng, 60))[..., None]
    for star_x, star_y, light in rng.uniform((0, 0, 90), (x.max(), y.max(), 190), (5 + x.size // 2400, 3)):
        dark += (light * np.exp(-((y[:, :1] - star_y) ** 2) / 4) * np.exp(-((x[:1] - star_x) ** 2) / 4))[..., None]
    return dark


def _snow(x: np.ndarray, y: np.ndarray, v: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    ground = _mix(v, (206, 214, 226), (232, 236, 242))
    for height in rng.uniform((0.2, 0.45, 0.7), (0.35, 0.6, 0.85)):
        drift = height + 0.05 * _noise(x, y * 0, rng, 90, 3)
        ground -= (16 * np.clip(1 - np.abs(v - drift - 0.04) / 0.05, 0, 1) * (v > drift))[..., None] * np.array((1.2, 1.0, 0.7))
    return ground


def _to_edge(position: np.ndarray, period: float) -> np.ndarray:
    return np.minimum(position % period, period - position % period)


def _brick(x: np.ndarray, y: np.ndarray, v: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    tall, long = 14.0, 30.0
    down = y + rng.uniform(0, tall)
    row = np.floor(down / tall)
    along = x + rng.uniform(0, long) + (row % 2) * long / 2
    mortar = np.clip(2.0 - np.minimum(_to_edge(down, tall), _to_edge(along, long)), 0, 1)
    tone = 12 * np.sin(row * 12.9898 + np.floor(along / long) * 78.233)
    clay = np.array((148, 92, 76)) + tone[..., None] * np.array((1, 0.8, 0.7)) + (3 * _noise(x, y, rng, 20))[..., None]
    return clay + mortar[..., None] * (np.array((172, 158, 146)) - clay)


def _wood(x: np.ndarray, y: np.ndarray, v: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    broad = 32.0
    across = x + rng.uniform(0, broad)
    plank = np.floor(across / broad)
    grain = np.sin(across * 2 * np.pi / 10 + 2.2 * np.sin(y * 2 * np.pi / 110 + plank * 1.7) + plank * 4.1)
    tone = 10 * np.sin(plank * 12.9898 + 1)
    gap = np.clip(1.6 - _to_edge(across, broad), 0, 1)
    board = np.array((178, 132, 84)) + (tone + 8 * grain)[..., None] * np.array((1, 0.85, 0.65))
    return board * (1 - 0.45 * gap[..., None])


_PAINTERS: dict[str, Callable[..., np.ndarray]] = {
    "sky": _sky, "beach": _beach, "grass": _grass, "sunset": _sunset, "night": _night, "snow": _snow, "brick": _brick, "wood": _wood,
}  # fmt: skip
