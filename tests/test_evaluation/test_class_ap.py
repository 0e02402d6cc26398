"""The AP of each class."""

import copy
import math

import pytest
import torch
from mmdet.evaluation import VOCMetric
from mmdet.registry import DATASETS

from nst_det.evaluation import class_aps


@pytest.fixture
def test_set(tiny_config):
    return DATASETS.build(tiny_config('student').test_dataloader.dataset)


def found_in(test_set, seed=0):
    """The objects themselves, moved about, in random classes, and some boxes of no object."""
    generator = torch.Generator().manual_seed(seed)
    samples = []
    for i in range(len(test_set)):
        info = test_set.get_data_info(i)
        boxes = torch.tensor([one['bbox'] for one in info['instances']]).float()
        labels = torch.tensor([one['bbox_label'] for one in info['instances']])
        moved = boxes + 2 * torch.randn(boxes.shape, generator=generator)
        other = torch.randint(0, 4, labels.shape, generator=generator)
        pred = dict(
            bboxes=torch.cat([boxes, moved]),
            labels=torch.cat([labels, other]),
            scores=torch.rand(2 * len(boxes), generator=generator),
        )
        samples.append(dict(img_id=info['img_id'], pred_instances=pred))
    return samples


def test_their_mean_is_mmdets_voc_map(test_set):
    predictions = found_in(test_set)
    metric = VOCMetric(eval_mode='11points')
    metric.dataset_meta = test_set.metainfo
    for i, sample in enumerate(copy.deepcopy(predictions)):
        sample.update(test_set[i]['data_samples'].to_dict())
        metric.process({}, [sample])
    aps = class_aps(test_set, predictions)
    assert list(aps) == list(test_set.metainfo['classes'])
    present = [ap for ap in aps.values() if not math.isnan(ap)]
    assert 0 < sum(present) / len(present) < 1
    measured = metric.evaluate(len(test_set))['pascal_voc/mAP']
    assert sum(present) / len(present) == pytest.approx(measured)


def test_the_order_of_the_predictions_does_not_matter(test_set):
    predictions = found_in(test_set)
    assert class_aps(test_set, predictions[::-1]) == pytest.approx(
        class_aps(test_set, predictions), nan_ok=True
    )


def test_a_class_without_objects_has_no_ap(test_set):
    infos = [test_set.get_data_info(i) for i in range(len(test_set))]
    test_set.get_data_info = lambda i: {
        **infos[i],
        'instances': [one for one in infos[i]['instances'] if one['bbox_label'] != 2],
    }
    aps = class_aps(test_set, found_in(test_set))
    assert math.isnan(aps['triangle'])
    assert not math.isnan(aps['star'])
