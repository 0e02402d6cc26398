"""The protocol that the rows of a table share, checked before a training."""

import pytest
from mmdet.datasets import VOCDataset
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


def test_rows_with_equal_tests_share_their_protocol():
    other = config(eval_mode='11points')
    other.test_dataloader.dataset.data_root = './data'  # the same folder
    test = shared_protocol(dict(a=config(), b=other))
    assert test.images.endswith('/data/test.txt')
    assert (len(test.classes), test.classes[0]) == (20, 'aeroplane')
    assert (test.metric, test.protocol) == ('VOC', '11 points')


def test_a_pure_python_config_holds_the_class_of_the_data_set():
    pure = config()
    pure.test_dataloader.dataset.type = VOCDataset
    assert shared_protocol(dict(a=config(), b=pure)).classes[0] == 'aeroplane'


def test_the_classes_of_a_config_replace_those_of_its_data_set():
    cfg = config()
    cfg.test_dataloader.dataset.metainfo = dict(classes=('star',))
    assert shared_protocol(dict(a=cfg)).classes == ('star',)


@pytest.mark.parametrize(
    ('other', 'line'),
    [
        (config('val.txt'), r'its images: \S+test.txt in a, \S+val.txt in b: one table'),
        (config(eval_mode='area'), 'its protocol: 11 points in a, area in b'),
        (config(iou_thrs=[0.7]), r'its overlap: 0.5 in a, \[0.7\] in b'),
        (config(type='CocoMetric'), 'its metric: VOC in a, CocoMetric in b'),
        (Config(), 'b has no test_dataloader'),
    ],
)
def test_rows_with_different_tests_are_refused_in_one_line(other, line):
    with pytest.raises(UserError, match=line):
        shared_protocol(dict(a=config(), b=other))


def test_two_types_of_data_sets_that_read_the_same_images_share_a_protocol():
    other = config()
    other.test_dataloader.dataset.type = 'VOCDevkitDataset'
    assert shared_protocol(dict(a=config(), b=other)).dataset == 'VOCDataset'


def test_the_splits_of_a_data_set_without_a_list_are_different_tests():
    def split(name):
        dataset = dict(type='DigitsDataset', split=name)
        evaluator = dict(type='ClassificationError')
        return Config(dict(test_dataloader=dict(dataset=dataset), test_evaluator=evaluator))

    with pytest.raises(UserError, match='its images'):
        shared_protocol(dict(a=split('test'), b=split('train')))


def test_rows_tested_by_coco_share_a_protocol_without_voc():
    coco = config(type='CocoMetric', ann_file='test.json')
    protocol = shared_protocol(dict(a=coco, b=coco))
    assert (protocol.metric, protocol.protocol, protocol.overlap) == ('CocoMetric', '', '')


def test_of_several_evaluators_that_of_voc_defines_the_protocol():
    both = config()
    both.test_evaluator = [dict(type='CocoMetric'), both.test_evaluator]
    assert shared_protocol(dict(a=both)).metric == 'VOC'
