"""The picture that compares the detections of several detectors on the same images."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from mmdet.datasets import BaseDetDataset
from mmdet.evaluation import bbox_overlaps
from PIL import Image, ImageDraw, ImageFont

from nst_det.evaluation.functional.detection_quality import best_threshold, ground_truth, judge
from nst_det.fileio.predictions import read_predictions
from nst_det.visualization.labelled_boxes import LabelledBox, draw_labelled_boxes

TITLE_HEIGHT = 26
GAP = 6
OBJECT, RIGHT, WRONG = '#3b6fb6', '#1a8a3a', '#d02020'


def draw_comparison(
    dataset: BaseDetDataset,
    results: Mapping[str, Path],
    out: Path,
    images: int = 4,
    scale: float = 2,
) -> None:
    """Draw the ground truth, and the detections of each detector, on the first test images.

    Each detector is shown at the threshold of its score at which its F1 over all test images is
    best. Right detections are green, wrong ones red, and objects that were missed are dashed.

    Args:
        dataset (BaseDetDataset): The test set.
        results (Mapping[str, Path]): For each title the file that ``tools/test.py --out`` wrote for
            a detector on this test set.
        out (Path): The picture to write: a row with the ground truth, then a row per detector.
        images (int): The number of images. Defaults to 4.
        scale (float): The factor by which the images are enlarged. Defaults to 2.
    """
    truth = ground_truth(dataset)
    classes = dataset.metainfo['classes']
    shown = dict(list(truth.items())[:images])
    pictures = {image: _read(objects['path'], scale) for image, objects in shown.items()}

    def draw(image: str, boxes: Sequence[LabelledBox]) -> Image.Image:
        picture = pictures[image].copy()
        scaled = [
            replace(one, box=tuple(scale * side for side in one.box))  # type: ignore[arg-type]
            for one in boxes
        ]
        draw_labelled_boxes(picture, scaled)
        return picture

    rows = {
        'ground truth': [
            draw(image, _objects(objects, classes)) for image, objects in shown.items()
        ]
    }
    for title, file in results.items():
        predictions = read_predictions(file)
        best = best_threshold(truth, predictions)
        found = {
            image: _detections(objects, predictions[image], best.threshold, classes)
            for image, objects in shown.items()
        }
        title += (
            f': on all {len(truth)} test images {best.right} of {best.objects} objects found, '
            f'{best.wrong} wrong boxes (scores from {best.threshold:.2f})'
        )
        rows[title] = [draw(image, boxes) for image, boxes in found.items()]
    _montage(rows).save(out)


def _read(path: str, scale: float) -> Image.Image:
    picture = Image.open(path).convert('RGB')
    size = round(picture.width * scale), round(picture.height * scale)
    return picture.resize(size, Image.Resampling.BICUBIC)


def _objects(objects: Mapping[str, np.ndarray], classes: Sequence[str]) -> list[LabelledBox]:
    return [
        LabelledBox(tuple(box), classes[label], OBJECT)
        for box, label in zip(objects['bboxes'].tolist(), objects['labels'].tolist())
    ]


def _detections(
    objects: Mapping[str, np.ndarray],
    predicted: Mapping,
    threshold: float,
    classes: Sequence[str],
) -> list[LabelledBox]:
    """The detections on one image, and the objects that were missed."""
    boxes: list[LabelledBox] = []
    right: list[int] = []
    for i, verdict in judge(objects, predicted, threshold).items():
        if verdict is None:
            continue
        box = tuple(predicted['bboxes'][i].tolist())
        label = f'{classes[int(predicted["labels"][i])]} {float(predicted["scores"][i]):.2f}'
        boxes.append(LabelledBox(box, label, RIGHT if verdict else WRONG))
        if verdict:
            right.append(i)
    overlaps = bbox_overlaps(objects['bboxes'], predicted['bboxes'][right].numpy())
    same_class = objects['labels'][:, None] == predicted['labels'][right].numpy()
    found = ((overlaps >= 0.5) & same_class).any(1)
    missed = objects['bboxes'][~(found | objects['ignored'])]
    return boxes + [LabelledBox(tuple(box), '', OBJECT, dashed=True) for box in missed.tolist()]


def _montage(rows: Mapping[str, Sequence[Image.Image]]) -> Image.Image:
    """Put rows of pictures below each other, each row under its title."""
    width = max(sum(picture.width + GAP for picture in row) for row in rows.values()) - GAP
    height = sum(
        max(picture.height for picture in row) + TITLE_HEIGHT + GAP for row in rows.values()
    )
    sheet = Image.new('RGB', (width, height), 'white')
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=18)
    y = 0
    for title, row in rows.items():
        pen.text((2, y + 2), title, fill='black', font=font)
        x = 0
        for picture in row:
            sheet.paste(picture, (x, y + TITLE_HEIGHT))
            x += picture.width + GAP
        y += max(picture.height for picture in row) + TITLE_HEIGHT + GAP
    return sheet
