"""One table, one test: found out before anything is trained."""

import pytest
from mmengine.config import Config

from nst_det.errors import UserError
from nst_det.experiments import shared_protocol


def config(ann_file='test.txt', **evaluator):
    dataset = dict(type='VOCDataset', data_root='data/', ann_file=ann_file)
    return Config(
        dict(
            test_dataloader=dict(dataset=dataset),
            test_evaluator={'type': 'VOCDevkitMetric', **evaluator},
        )
    )


def test_the_test_of_two_rows_alike_is_theirs():
    other = config(eval_mode='11points')
    other.test_dataloader.dataset.data_root = './data'  # the same folder
    test = shared_protocol(dict(a=config(), b=other))
    assert test.images.endswith('/data/test.txt')
    assert (len(test.classes), test.classes[0]) == (20, 'aeroplane')
    assert test.protocol == '11 points'


def test_a_configs_own_classes_count():
    cfg = config()
    cfg.test_dataloader.dataset.metainfo = dict(classes=('star',))
    assert shared_protocol(dict(a=cfg)).classes == ('star',)


@pytest.mark.parametrize(
    ('other', 'line'),
    [
        (config('val.txt'), r'its images: \S+test.txt in a, \S+val.txt in b: one table'),
        (config(eval_mode='area'), 'its protocol: 11 points in a, area in b'),
        (config(iou_thrs=[0.7]), r'its overlap: 0.5 in a, \[0.7\] in b'),
        (config(type='CocoMetric'), 'b is tested by CocoMetric, which gives no VOC mAP'),
        (Config(), 'b has no test_dataloader'),
    ],
)
def test_rows_that_are_tested_differently_are_one_clear_line(other, line):
    with pytest.raises(UserError, match=line):
        shared_protocol(dict(a=config(), b=other))
