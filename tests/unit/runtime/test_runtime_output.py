"""Detections as COCO JSON, CSV and pictures."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from nst_det.runtime.detections import ImageDetections
from nst_det.runtime.output import CocoDetections, csv_text, run_lengths, write_picture

CLASSES = ('circle', 'a "square", large')


@pytest.fixture
def found(tmp_path):
    """Two images, the second one without detections."""
    Image.new('RGB', (60, 50), 'white').save(tmp_path / 'first.png')
    masks = np.zeros((2, 50, 60), bool)
    masks[0, 10:20, 5:15] = masks[1, 0, 0] = True
    boxes = np.array([[5, 10, 15, 20], [0, 0, 1, 1]], np.float32)
    scores, labels = np.array([0.9, 0.25], np.float32), np.array([0, 1])
    first = ImageDetections(tmp_path / 'first.png', (50, 60), boxes, scores, labels, masks)
    empty = np.zeros((0, 50, 60), bool)
    second = ImageDetections(Path('second.png'), (50, 60), boxes[:0], scores[:0], labels[:0], empty)
    return [first, second]


def coco_json(found):
    coco = CocoDetections(CLASSES)
    for one in found:
        coco.add(one)
    return coco.text()


def test_pycocotools_reads_the_json(found, tmp_path):
    (tmp_path / 'found.json').write_text(coco_json(found))
    coco = COCO(tmp_path / 'found.json')
    assert len(coco.imgs) == 2
    first, second = coco.loadAnns(coco.getAnnIds())
    assert first['bbox'] == [5, 10, 10, 10]
    assert coco.loadCats(second['category_id'])[0]['name'] == CLASSES[1]
    assert np.array_equal(coco.annToMask(first), found[0].masks[0])
    assert coco.getAnnIds(imgIds=[2]) == []


@pytest.mark.parametrize('seed', range(3))
def test_run_lengths_are_those_of_coco(seed):
    mask = np.random.default_rng(seed).random((7, 9)) > 0.5
    encoded = coco_mask.frPyObjects(run_lengths(mask), 7, 9)
    assert np.array_equal(coco_mask.decode(encoded), mask)


def test_the_csv_has_a_line_for_each_detection(found):
    rows = list(csv.DictReader(io.StringIO(csv_text(found, CLASSES))))
    assert [row['class'] for row in rows] == list(CLASSES)
    assert rows[0]['score'] == '0.9000'
    assert [rows[0][side] for side in ('x1', 'y1', 'x2', 'y2')] == [
        '5.00', '10.00', '15.00', '20.00'
    ]  # fmt: skip


def test_detections_below_a_threshold_are_left_out_with_their_masks(found):
    (one, none) = (image.above(0.3) for image in found)
    assert one.scores.tolist() == [pytest.approx(0.9)]
    assert one.masks.shape == (1, 50, 60)
    assert len(none.scores) == 0
    assert json.loads(coco_json([one]))['annotations'][0]['score'] == pytest.approx(0.9)


def test_boxes_and_masks_are_drawn(found, tmp_path):
    write_picture(found[0], CLASSES, tmp_path / 'drawn.png')
    pixels = np.asarray(Image.open(tmp_path / 'drawn.png').convert('RGB'))
    assert pixels.shape == (50, 60, 3)
    assert (pixels[20, 5:15] < 255).any()  # the lower side of the box
    assert (pixels[45:, 40:] == 255).all()
