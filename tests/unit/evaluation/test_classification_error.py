"""The error of image classification, and how it is read."""

import pytest
import torch

from nst_det.errors import UserError
from nst_det.evaluation import ClassificationError, Results


def error_of(scores, labels, topk=(1,)):
    metric = ClassificationError(topk=topk)
    samples = [
        dict(pred_score=torch.tensor(row), gt_label=torch.tensor([label]))
        for row, label in zip(scores, labels)
    ]
    metric.process(None, samples)
    return metric.evaluate(len(samples))


def test_the_error_is_the_share_of_images_whose_class_is_not_among_the_likeliest():
    scores = [[0.7, 0.2, 0.1], [0.7, 0.2, 0.1], [0.7, 0.2, 0.1], [0.1, 0.2, 0.7]]
    assert error_of(scores, [0, 1, 2, 2], (1, 2)) == {'top1_error': 0.5, 'top2_error': 0.25}


def test_of_equally_likely_classes_the_first_counts():
    assert error_of([[0.5, 0.5], [0.5, 0.5]], [0, 1]) == {'top1_error': 0.5}


def test_more_ranks_than_classes_are_refused():
    with pytest.raises(UserError, match=r'topk has 5, but there are 2 classes'):
        error_of([[0.5, 0.5]], [0], (1, 5))


def test_results_show_it_in_percent_and_know_that_lower_is_better():
    results = Results({'top1_error': 0.0439, 'top5_error': 0.001})
    assert results.main.title == 'top-1 error'
    assert not results.main.higher_is_better
    assert results.text == 'top-1 error 4.39'


@pytest.mark.parametrize('topk', [(), (0,), (1.5,)])
def test_ranks_that_are_no_positive_integers_are_refused(topk):
    with pytest.raises(UserError, match='ClassificationError.topk is'):
        ClassificationError(topk=topk)
