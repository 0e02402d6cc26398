"""Writing detections: pictures, COCO's JSON and CSV."""

import csv
import io
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from nst_det.fileio.atomic import write_atomically
from nst_det.runtime.detections import ImageDetections
from nst_det.runtime.images import read_image

GOLDEN_ANGLE = 137.5  # neighbouring classes get colours far apart


class CocoDetections:
    """Detections as COCO annotations with scores; masks as uncompressed RLE.

    Masks become run lengths at once, so that those of many images fit into the memory.

    Args:
        classes (Sequence[str]): The names of the classes.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self._images: list[dict] = []
        self._annotations: list[dict] = []
        self._categories = [dict(id=i, name=name) for i, name in enumerate(classes, 1)]

    def add(self, found: ImageDetections) -> None:
        """Add an image.

        Args:
            found (ImageDetections): The detections in it.
        """
        image_id = len(self._images) + 1
        height, width = found.size
        name = str(found.file)
        self._images.append(dict(id=image_id, file_name=name, width=width, height=height))
        for i, (box, score, label) in enumerate(zip(found.boxes, found.scores, found.labels)):
            x1, y1, x2, y2 = map(float, box)
            annotation = dict(
                id=len(self._annotations) + 1,
                image_id=image_id,
                category_id=int(label) + 1,
                bbox=[x1, y1, x2 - x1, y2 - y1],
                score=float(score),
                area=(x2 - x1) * (y2 - y1),
                iscrowd=0,
            )
            if found.masks is not None:
                annotation['segmentation'] = run_lengths(found.masks[i])
                annotation['area'] = int(found.masks[i].sum())
            self._annotations.append(annotation)

    def text(self) -> str:
        """Write it as JSON; ids count from 1."""
        return json.dumps(
            dict(images=self._images, annotations=self._annotations, categories=self._categories)
        )


def run_lengths(mask: np.ndarray) -> dict:
    """Write a mask as COCO's uncompressed run-length encoding.

    Args:
        mask (np.ndarray): `(H, W)`, of bool.

    Returns:
        dict: ``size`` and ``counts``: lengths of runs down the columns, background first.
    """
    pixels = mask.ravel(order='F')
    (changes,) = np.nonzero(pixels[1:] != pixels[:-1])
    ends = [0, *(changes + 1).tolist(), len(pixels)]
    counts = [end - start for start, end in pairwise(ends)]
    return dict(size=list(mask.shape), counts=[0, *counts] if pixels[0] else counts)


def csv_text(found: Sequence[ImageDetections], classes: Sequence[str]) -> str:
    """Write detections as CSV, a line each.

    Args:
        found (Sequence[ImageDetections]): The detections.
        classes (Sequence[str]): The names of the classes.

    Returns:
        str: The lines, the first one with the names of the columns.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator='\n')
    writer.writerow(['file', 'class', 'score', 'x1', 'y1', 'x2', 'y2'])
    for one in found:
        for box, score, label in zip(one.boxes, one.scores, one.labels):
            corners = (f'{side:.2f}' for side in box)
            writer.writerow([one.file, classes[label], f'{score:.4f}', *corners])
    return buffer.getvalue()


def write_picture(found: ImageDetections, classes: Sequence[str], out: Path) -> None:
    """Draw the detections into an image and write it.

    Args:
        found (ImageDetections): The detections.
        classes (Sequence[str]): The names of the classes.
        out (Path): The file to write, of a format that Pillow writes.
    """
    pixels = read_image(found.file)
    if found.masks is not None:
        pixels = pixels.copy()
        for mask, label in zip(found.masks, found.labels):
            pixels[mask] = (pixels[mask] * 0.5 + 0.5 * np.array(colour(label))).astype(np.uint8)
    picture = Image.fromarray(pixels)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=max(10, min(picture.size) // 40))
    line = max(1, min(picture.size) // 250)
    for box, score, label in reversed(list(zip(found.boxes, found.scores, found.labels))):
        corners = [float(side) for side in box]
        draw.rectangle(corners, outline=colour(label), width=line)
        text = f'{classes[label]} {score:.2f}'
        left, top, right, bottom = draw.textbbox((corners[0], max(corners[1], 0)), text, font)
        draw.rectangle([left - 1, top - 1, right + 1, bottom + 1], fill=colour(label))
        draw.text((corners[0], max(corners[1], 0)), text, 'white', font)
    buffer = io.BytesIO()
    picture.save(buffer, Image.registered_extensions()[out.suffix.lower()])
    write_atomically(out, buffer.getvalue())


def colour(label: int) -> tuple[int, ...]:
    """Choose the colour of a class.

    Args:
        label (int): Its index.

    Returns:
        tuple[int, ...]: Red, green and blue, each to 255.
    """
    return ImageColor.getrgb(f'hsl({label * GOLDEN_ANGLE % 360:.0f}, 75%, 42%)')
