"""Confusion of classes, and scores as probabilities."""

import numpy as np
import pytest
import torch

from nst_det.evaluation.functional.confusion import calibration, confusion_matrix

OBJECTS = dict(
    bboxes=np.array([[0, 0, 10, 10], [20, 20, 30, 30], [40, 40, 50, 50]], np.float32),
    labels=np.array([0, 1, 1]),
    ignored=np.array([False, False, True]),
)


def predict(*detections):
    """Predictions, each given as (box of an object or None, label, score)."""
    boxes = [
        [60, 60, 70, 70] if place is None else OBJECTS['bboxes'][place].tolist()
        for place, _, _ in detections
    ]
    return dict(
        bboxes=torch.tensor(boxes).reshape(-1, 4),
        labels=torch.tensor([label for _, label, _ in detections], dtype=torch.long),
        scores=torch.tensor([score for _, _, score in detections]),
    )


@pytest.mark.parametrize(
    ('detections', 'expected'),
    [
        ([], [[0, 0, 1], [0, 0, 1], [0, 0, 0]]),  # both are missed
        ([(0, 0, 0.9), (1, 1, 0.9)], [[1, 0, 0], [0, 1, 0], [0, 0, 0]]),
        ([(0, 1, 0.9), (1, 1, 0.9)], [[0, 1, 0], [0, 1, 0], [0, 0, 0]]),  # taken for the other
        ([(0, 0, 0.9), (0, 1, 0.8)], [[1, 0, 0], [0, 0, 1], [0, 1, 0]]),  # found twice
        ([(0, 1, 0.8), (0, 0, 0.9)], [[1, 0, 0], [0, 0, 1], [0, 1, 0]]),  # the higher score first
        ([(None, 0, 0.9)], [[0, 0, 1], [0, 0, 1], [1, 0, 0]]),
        ([(2, 1, 0.9), (2, 0, 0.8)], [[0, 0, 1], [0, 0, 1], [0, 0, 0]]),  # on an ignored object
        ([(0, 0, 0.2)], [[0, 0, 1], [0, 0, 1], [0, 0, 0]]),  # below the threshold
    ],
)
def test_each_detection_and_each_object_is_counted_once(detections, expected):
    matrix = confusion_matrix(dict(a=OBJECTS), dict(a=predict(*detections)), 2, 0.3)
    assert matrix.tolist() == expected


def test_the_counts_of_images_are_added():
    truth, found = dict(a=OBJECTS, b=OBJECTS), predict((0, 0, 0.9))
    assert confusion_matrix(truth, dict(a=found, b=found), 2, 0.3)[0, 0] == 2


def test_an_image_without_objects_has_only_wrong_detections():
    empty = {key: value[:0] for key, value in OBJECTS.items()}
    matrix = confusion_matrix(dict(a=empty), dict(a=predict((0, 0, 0.9))), 2, 0.3)
    assert matrix.tolist() == [[0, 0, 0], [0, 0, 0], [1, 0, 0]]


def test_the_calibration_compares_score_and_precision_of_each_bin():
    # Of the score 0.85 three in four are right; of 0.25 none; the ignored object does not count.
    images = {
        'a': predict((0, 0, 0.85), (1, 1, 0.85), (None, 0, 0.25)),
        'b': predict((0, 0, 0.85), (None, 1, 0.85), (2, 1, 0.95)),
    }
    found = calibration(dict.fromkeys(images, OBJECTS), images)
    assert found.scores == pytest.approx([0.25, 0.85])
    assert found.precisions == [0, 0.75]
    assert found.counts == [1, 4]
    assert found.error == pytest.approx((1 * 0.25 + 4 * 0.1) / 5)


def test_scores_of_0_and_1_are_in_the_first_and_the_last_bin():
    found = calibration(dict(a=OBJECTS), dict(a=predict((0, 0, 1.0), (None, 0, 0.0))))
    assert (found.scores, found.counts) == ([0, 1], [1, 1])
    assert found.error == 0


def test_without_detections_there_is_no_calibration():
    found = calibration(dict(a=OBJECTS), dict(a=predict()))
    assert found.scores == [] and np.isnan(found.error)
