"""Boxes with labels that do not cover each other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

PADDING = 2  # pixels around the text of a label

Rectangle = tuple[float, float, float, float]


@dataclass(frozen=True)
class LabelledBox:
    """A box in a picture.

    Args:
        box (tuple[float, float, float, float]): ``(x1, y1, x2, y2)`` in pixels.
        label (str): Its label; ``''`` for none.
        colour (str): The colour of both.
        dashed (bool): Whether its line is dashed. Defaults to False.
    """

    box: Rectangle
    label: str
    colour: str
    dashed: bool = False


def draw_labelled_boxes(
    picture: Image.Image, boxes: Sequence[LabelledBox], font_size: int = 13, line_width: int = 2
) -> None:
    """Draw boxes into a picture, and then their labels.

    Args:
        picture (Image.Image): The picture, RGB; it is changed.
        boxes (Sequence[LabelledBox]): The boxes; the labels of the first have the first choice of
            a place.
        font_size (int): The height of the text in pixels. Defaults to 13.
        line_width (int): The width of the lines in pixels. Defaults to 2.
    """
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=font_size)
    for one in boxes:
        _draw_box(pen, one, line_width)
    sizes = []
    for one in boxes:
        left, top, right, bottom = pen.textbbox((0, 0), one.label, font=font)
        sizes.append((right - left + 2 * PADDING, bottom - top + 2 * PADDING))
    labelled = [i for i, one in enumerate(boxes) if one.label]
    places = place_labels(
        [boxes[i].box for i in labelled], [sizes[i] for i in labelled], picture.size
    )
    for i, (x, y) in zip(labelled, places):
        width, height = sizes[i]
        pen.rectangle((x, y, x + width, y + height), fill=boxes[i].colour)
        left, top, _, _ = pen.textbbox((0, 0), boxes[i].label, font=font)
        pen.text((x + PADDING - left, y + PADDING - top), boxes[i].label, 'white', font)


def place_labels(
    boxes: Sequence[Rectangle], sizes: Sequence[tuple[float, float]], picture: tuple[int, int]
) -> list[tuple[float, float]]:
    """Find places for the labels of boxes, so that no label covers another one.

    A label is above its box, below it, or at one of its corners inside; if all of these are taken,
    as near to it as there is room.

    Args:
        boxes (Sequence[tuple]): The boxes, ``(x1, y1, x2, y2)`` in pixels.
        sizes (Sequence[tuple[float, float]]): Width and height of each label in pixels.
        picture (tuple[int, int]): Width and height of the picture.

    Returns:
        list[tuple[float, float]]: The left upper corner of each label. Labels cover each other only
        if the picture has no room left.
    """
    taken: list[Rectangle] = []
    places = []
    for box, size in zip(boxes, sizes):
        candidates = list(_candidates(box, size, picture))
        place = min(candidates, key=lambda place: _covered(place, size, taken))
        places.append(place)
        taken.append((*place, place[0] + size[0], place[1] + size[1]))
    return places


def _candidates(
    box: Rectangle, size: tuple[float, float], picture: tuple[int, int]
) -> Iterator[tuple[float, float]]:
    """The places for a label, the best first, all inside the picture."""
    (x1, y1, x2, y2), (width, height) = box, size
    wanted = [
        (x1, y1 - height),
        (x1, y2),
        (x2 - width, y1 - height),
        (x2 - width, y2),
        (x1, y1),
        (x2 - width, y1),
        (x1, y2 - height),
        (x2 - width, y2 - height),
    ]
    rows = range(0, max(1, int(picture[1] - height)), max(1, int(height) + 1))
    wanted += sorted(((x1, float(y)) for y in rows), key=lambda place: abs(place[1] - y1))
    for x, y in wanted:
        yield max(0, min(x, picture[0] - width - 1)), max(0, min(y, picture[1] - height - 1))


def _covered(
    place: tuple[float, float], size: tuple[float, float], taken: Sequence[Rectangle]
) -> float:
    """The area of the labels that a label at a place would cover."""
    x, y = place
    area = 0.0
    for left, top, right, bottom in taken:
        width = min(x + size[0], right) - max(x, left)
        height = min(y + size[1], bottom) - max(y, top)
        area += max(0.0, width + 1) * max(0.0, height + 1)
    return area


def _draw_box(pen: ImageDraw.ImageDraw, one: LabelledBox, line_width: int) -> None:
    x1, y1, x2, y2 = one.box
    if not one.dashed:
        pen.rectangle(one.box, outline=one.colour, width=line_width)
        return
    for (ax, ay), (bx, by) in zip(
        [(x1, y1), (x2, y1), (x2, y2), (x1, y2)], [(x2, y1), (x2, y2), (x1, y2), (x1, y1)]
    ):
        length = max(abs(bx - ax), abs(by - ay), 1)
        for start in range(0, int(length), 8):
            end = min(start + 4, length)
            pen.line(
                [
                    ax + (bx - ax) * start / length,
                    ay + (by - ay) * start / length,
                    ax + (bx - ax) * end / length,
                    ay + (by - ay) * end / length,
                ],
                fill=one.colour,
                width=line_width,
            )
