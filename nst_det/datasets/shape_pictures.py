"""Pictures of coloured, textured shapes on soft backgrounds."""

import colorsys
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SHAPE_CLASSES = ('circle', 'square', 'triangle', 'star')
"""The classes of the objects, for ``metainfo=dict(classes=SHAPE_CLASSES)``."""

FILLS = ('plain', 'gradient', 'stripes')
TILT = 0.35  # the largest angle by which a shape is turned, in radians
SUPERSAMPLING = 4  # outlines are drawn this much larger, then averaged down


@dataclass
class ShapeObject:
    """One object of a picture, as VOC annotates it.

    Attributes:
        name (str): Its class.
        box (tuple[int, int, int, int]): ``(xmin, ymin, xmax, ymax)`` of the visible part, in
            pixels counted from 1, both ends included.
        truncated (bool): Whether the border of the picture or another object cuts it.
        difficult (bool): Whether it is tiny or mostly hidden.
    """

    name: str
    box: tuple[int, int, int, int]
    truncated: bool
    difficult: bool


def draw_shape_picture(size: int, rng: np.random.Generator) -> tuple[np.ndarray, list[ShapeObject]]:
    """Draw one picture with one to three objects.

    Colours and textures come from one distribution for all classes: only the outline tells the
    class.

    Args:
        size (int): Width and height of the picture in pixels.
        rng (np.random.Generator): The random number generator.

    Returns:
        tuple[np.ndarray, list[ShapeObject]]: The RGB picture, `(H, W, 3)` uint8, and its objects.
    """
    picture = _draw_background(size, rng)
    names: list[str] = []
    outlines: list[np.ndarray] = []
    masks: list[np.ndarray] = []  # the visible part of each object
    count = rng.integers(1, 4)
    for _ in range(8 * count):
        name = str(rng.choice(SHAPE_CLASSES))
        outline = _place(_draw_outline(name, rng), size, rng)
        alpha = _rasterize(outline, size)
        covered = [mask * (1 - alpha) for mask in masks]
        shown = [
            _visible_part(mask, line) for mask, line in zip([*covered, alpha], [*outlines, outline])
        ]
        # Objects that are half hidden are rare.
        if min(shown) < (0.4 if rng.random() < 0.2 else 0.85):
            continue
        picture = _paint(picture, alpha, rng)
        names.append(name)
        outlines.append(outline)
        masks = [*covered, alpha]
        if len(names) == count:
            break
    picture += rng.normal(0, 3, picture.shape)  # like the noise of a camera
    objects = [
        _annotate(name, mask, outline) for name, mask, outline in zip(names, masks, outlines)
    ]
    return picture.clip(0, 255).round().astype(np.uint8), objects


def _annotate(name: str, mask: np.ndarray, outline: np.ndarray) -> ShapeObject:
    """Describe an object by its visible part."""
    rows, columns = np.nonzero(mask >= 0.5)
    xmin, ymin, xmax, ymax = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    shown = _visible_part(mask, outline)
    tiny = max(xmax - xmin, ymax - ymin) < 0.9 * _smallest_extent(len(mask))
    return ShapeObject(
        name=name,
        box=(int(xmin) + 1, int(ymin) + 1, int(xmax), int(ymax)),
        truncated=bool(shown < 0.95),
        difficult=bool(shown < 0.6 or tiny),
    )


def _visible_part(mask: np.ndarray, outline: np.ndarray) -> float:
    """The visible share of the area of an outline, which may extend beyond the border."""
    x, y = outline.T
    area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2  # shoelace formula
    return mask.sum() / area


def _draw_outline(name: str, rng: np.random.Generator) -> np.ndarray:
    """The corners of an outline around the origin, `(N, 2)`, tilted and stretched at random."""
    turn = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    if name == 'circle':
        corners = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    elif name == 'square':
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], float)
    elif name == 'triangle':
        angle = turn[::20] - np.pi / 2
        corners = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    else:  # star
        angle, radius = turn[::6] - np.pi / 2, np.tile([1.0, 0.42], 5)
        corners = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    stretch = np.exp(rng.uniform(-0.1, 0.1))
    angle = rng.uniform(-TILT, TILT)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (corners * [stretch, 1 / stretch]) @ rotation


def _smallest_extent(size: int) -> float:
    """The smallest extent in pixels of an object that is not tiny."""
    return max(16, size / 3.6)


def _place(outline: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Scale and shift an outline to a random extent and place in the picture."""
    smallest, largest = _smallest_extent(size), 0.56 * size
    if rng.random() < 0.06:
        extent = smallest * rng.uniform(0.6, 0.9)
    else:
        extent = np.exp(rng.uniform(np.log(smallest), np.log(largest)))
    outline = outline - (outline.min(axis=0) + outline.max(axis=0)) / 2
    outline = outline * extent / np.ptp(outline, axis=0).max()
    margin = extent * (0.3 if rng.random() < 0.15 else 0.5)  # some extend beyond the border
    return outline + rng.uniform(margin, size - margin, size=2)


def _rasterize(outline: np.ndarray, size: int) -> np.ndarray:
    """The share of each pixel that a polygon covers, `(H, W)`."""
    large = Image.new('L', (size * SUPERSAMPLING,) * 2)
    ImageDraw.Draw(large).polygon([tuple(point) for point in outline * SUPERSAMPLING], fill=255)
    return np.asarray(large.reduce(SUPERSAMPLING), np.float64) / 255


def _paint(picture: np.ndarray, alpha: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Paint a mask with a random fill over a soft shadow."""
    size = len(picture)
    shadow = Image.fromarray((alpha * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(2.5))
    shift = tuple(rng.integers(-2, 3, size=2))
    shadow = np.roll(np.asarray(shadow, np.float64) / 255, shift, axis=(0, 1))
    picture = picture * (1 - rng.uniform(0, 0.5) * shadow[..., None])

    beneath = (picture * alpha[..., None]).sum(axis=(0, 1)) / alpha.sum()
    colours = _random_colour(rng), _random_colour(rng)
    for _ in range(20):
        if min(np.linalg.norm(colour - beneath) for colour in colours) > 70:
            break
        colours = _random_colour(rng), _random_colour(rng)
    fill = _draw_fill(size, *colours, rng)
    return picture * (1 - alpha[..., None]) + fill * alpha[..., None]


def _random_colour(rng: np.random.Generator, saturation: float = 1.0) -> np.ndarray:
    """An RGB colour, `(3,)` in 0..255."""
    hue, strength, value = rng.uniform([0, 0.2, 0.25], [1, 1, 1])
    return 255 * np.array(colorsys.hsv_to_rgb(hue, saturation * strength, value))


def _draw_fill(
    size: int, first: np.ndarray, second: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """A square with a random texture of two colours, `(H, W, 3)`."""
    kind = rng.choice(FILLS)
    angle, phase = rng.uniform(0, 2 * np.pi, size=2)
    row, column = np.mgrid[:size, :size]
    wave = 2 * np.pi / rng.uniform(6, 14)
    u = wave * (column * np.cos(angle) + row * np.sin(angle)) + phase
    if kind == 'plain':
        mix = np.zeros((size, size))
    elif kind == 'gradient':
        mix = 0.5 + 0.5 * np.sin(u / 10)
    else:  # stripes
        mix = 0.5 + 2 * np.sin(u)
    # The outline must stand out from its fill.
    contrast = rng.uniform(0.15, 0.6)
    return first + contrast * mix.clip(0, 1)[..., None] * (second - first)


def _smooth_noise(size: int, cells: int, rng: np.random.Generator) -> np.ndarray:
    """Noise in 0..1 that varies over ``size / cells`` pixels, `(H, W)`."""
    grid = Image.fromarray(rng.integers(0, 256, (cells, cells), dtype=np.uint8))
    return np.asarray(grid.resize((size, size), Image.Resampling.BICUBIC), np.float64) / 255


def _draw_background(size: int, rng: np.random.Generator) -> np.ndarray:
    """A gradient with soft patches, `(H, W, 3)` in 0..255."""
    first, second = _random_colour(rng, 0.6), _random_colour(rng, 0.6)
    angle = rng.uniform(0, 2 * np.pi)
    row, column = np.mgrid[:size, :size] / size - 0.5
    mix = (0.5 + column * np.cos(angle) + row * np.sin(angle)).clip(0, 1)
    patches = _smooth_noise(size, int(rng.integers(3, 9)), rng) - 0.5
    return first + mix[..., None] * (second - first) + rng.uniform(10, 50) * patches[..., None]
