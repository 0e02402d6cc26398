"""The quality of detections: right and wrong ones, and F1 by image."""

import numpy as np
import pytest
import torch

from nst_det.evaluation.functional.detection_quality import (
    best_threshold,
    image_score,
    judge,
)

SQUARES = dict(
    bboxes=np.array([[0, 0, 10, 10], [20, 20, 30, 30], [40, 40, 50, 50]], np.float32),
    labels=np.array([0, 1, 1]),
    ignored=np.array([False, False, True]),
)


def predict(*detections):
    """Predictions, each given as (square, label, score)."""
    return dict(
        bboxes=torch.from_numpy(SQUARES['bboxes'][[square for square, _, _ in detections]]),
        labels=torch.tensor([label for _, label, _ in detections], dtype=torch.long),
        scores=torch.tensor([score for _, _, score in detections]),
    )


@pytest.mark.parametrize(
    ('detections', 'score'),
    [
        ([(0, 0, 0.9), (1, 1, 0.9)], 1),
        ([(0, 0, 0.9)], 2 / 3),
        ([(0, 0, 0.9), (1, 1, 0.2)], 2 / 3),  # below the threshold
        ([(0, 0, 0.9), (0, 0, 0.8), (1, 1, 0.9)], 4 / 5),  # found twice
        ([(0, 1, 0.9), (1, 1, 0.9)], 1 / 2),  # of another class
        ([(0, 0, 0.9), (1, 1, 0.9), (2, 1, 0.9)], 1),  # an ignored object
        ([], 0),
    ],
)
def test_f1_counts_each_object_once(detections, score):
    assert image_score(SQUARES, predict(*detections), 0.3) == pytest.approx(score)


def test_a_detection_is_right_or_wrong_or_does_not_count():
    # The second finds again what the first has found, the third is on an ignored object, the
    # fourth of another class, the last below the threshold.
    detections = predict((0, 0, 0.9), (0, 0, 0.8), (2, 1, 0.7), (1, 0, 0.6), (1, 1, 0.1))
    assert judge(SQUARES, detections, 0.3) == {0: True, 1: False, 2: None, 3: False}


def test_f1_without_objects_is_1_without_detections_and_0_with_one():
    empty = {key: value[:0] for key, value in SQUARES.items()}
    assert image_score(empty, predict(), 0.3) == 1
    assert image_score(empty, predict((0, 0, 0.9)), 0.3) == 0


def test_the_best_threshold_is_that_of_the_best_f1():
    truth = {'a': SQUARES, 'b': SQUARES}  # each with two objects that count
    predictions = {
        'a': predict((0, 0, 0.9), (1, 1, 0.4), (1, 0, 0.5), (2, 1, 0.95)),
        'b': predict((1, 0, 0.3), (0, 0, 0.8)),
    }

    best = best_threshold(truth, predictions)

    # At 0.4 three are right and one is wrong; at 0.8 two are right and none is wrong.
    assert (best.right, best.wrong, best.objects) == (3, 1, 4)
    assert best.threshold == pytest.approx(0.4)
    assert best.f1 == pytest.approx(6 / 8)
    assert max(f1_of_all(truth, predictions, i / 100) for i in range(101)) <= best.f1 + 1e-9


def f1_of_all(truth, predictions, threshold):
    verdicts = [
        verdict
        for image in truth
        for verdict in judge(truth[image], predictions[image], threshold).values()
        if verdict is not None
    ]
    return 2 * sum(verdicts) / (4 + len(verdicts))


def test_detections_of_one_score_are_kept_together():
    best = best_threshold({'a': SQUARES}, {'a': predict((0, 0, 0.5), (0, 1, 0.5))})
    assert (best.right, best.wrong) == (1, 1)


def test_where_nothing_is_right_nothing_is_kept():
    best = best_threshold({'a': SQUARES}, {'a': predict((0, 1, 0.9))})
    assert best.threshold == float('inf')
    assert (best.right, best.wrong, best.f1) == (0, 0, 0)
