"""The reader of test results: VOC, COCO, and evaluators that it has never heard of."""

import json
import math

import pytest

from nst_det.errors import UserError
from nst_det.evaluation.results import Metric, Results, number_text, read_results

VOC = {
    'pascal_voc/mAP': 0.5,
    'pascal_voc/AP50': 0.5,
    'pascal_voc/AP/cat': 0.75,
    'pascal_voc/AP/dog': 0.25,
    'data_time': 0.1,
    'time': 0.2,
}
COCO = {
    'coco/cat_precision': 0.3,
    'coco/dog_precision': 0.1,
    'coco/bbox_mAP': 0.2,
    'coco/bbox_mAP_50': 0.45,
    'coco/bbox_mAP_75': 0.15,
    'coco/bbox_mAP_s': -1.0,  # there is no small object
    'coco/bbox_mAP_m': 0.1,
    'coco/bbox_mAP_l': 0.4,
    'time': 0.2,
}


def titles(results):
    return [metric.title for metric in results.metrics]


def test_the_main_metric_of_voc_is_map_at_its_threshold():
    results = Results(VOC)
    assert results.main.title == 'mAP (IoU 0.50)'
    assert (results.score, results.text) == (0.5, 'mAP 50.0')
    assert (results.main.unit, results.main.higher_is_better) == ('%', True)


def test_the_classes_of_voc_belong_to_its_map():
    results = Results(VOC)
    assert results.classes == {'cat': 0.75, 'dog': 0.25}
    assert results.class_mean == results.main


def test_the_ap_at_the_only_threshold_of_voc_is_no_second_metric():
    assert titles(Results(VOC)) == ['mAP (IoU 0.50)']


def test_the_thresholds_of_voc_are_those_that_the_json_names():
    results = Results({'pascal_voc/mAP': 0.4, 'pascal_voc/AP50': 0.5, 'pascal_voc/AP75': 0.3})
    assert titles(results) == ['mAP (IoU 0.50, 0.75)', 'AP (IoU 0.50)', 'AP (IoU 0.75)']
    assert not results.main.counts_as_voc


def test_a_class_of_voc_may_have_a_slash_or_an_ending_of_coco_in_its_name():
    results = Results({'pascal_voc/mAP': 0.4, 'pascal_voc/AP/a/b': 0.5, 'pascal_voc/AP/c_mAP': 0.3})
    assert results.classes == {'a/b': 0.5, 'c_mAP': 0.3}


def test_the_main_metric_of_coco_is_the_mean_over_its_ten_thresholds():
    results = Results(COCO)
    assert results.main.title == 'box mAP (IoU 0.50:0.95)'
    assert results.score == 0.2
    assert titles(results) == [
        'box mAP (IoU 0.50:0.95)',
        'box mAP (IoU 0.50)',
        'box mAP (IoU 0.75)',
        'box mAP (IoU 0.50:0.95, medium objects)',
        'box mAP (IoU 0.50:0.95, large objects)',
    ]


def test_the_classes_of_coco_belong_to_its_mean_over_ten_thresholds():
    results = Results(COCO)
    assert results.classes == {'cat': 0.3, 'dog': 0.1}
    assert results.class_mean.title == 'box mAP (IoU 0.50:0.95)'


def test_coco_without_classes_has_none():
    results = Results({'coco/bbox_mAP': 0.2, 'coco/bbox_mAP_50': 0.45})
    assert (results.classes, results.class_mean) == ({}, None)


def test_the_classes_of_coco_with_masks_are_those_of_the_masks():
    # CocoMetric writes the masks' values over those of the boxes, under the same keys.
    results = Results({**COCO, 'coco/segm_mAP': 0.18, 'coco/segm_mAP_50': 0.4})
    assert results.main.title == 'box mAP (IoU 0.50:0.95)'
    assert results.class_mean.title == 'mask mAP (IoU 0.50:0.95)'
    assert results.classes == {'cat': 0.3, 'dog': 0.1}


def test_thresholds_that_a_config_sets_for_coco_are_named():
    results = Results(COCO, dict(type='CocoMetric', iou_thrs=[0.3, 0.4]))
    assert results.main.title == 'box mAP (IoU 0.30, 0.40)'


def test_of_two_evaluators_the_first_is_the_main_one():
    assert Results({**VOC, **COCO}).main.key == 'pascal_voc/mAP'
    assert Results({**COCO, **VOC}).main.key == 'coco/bbox_mAP'


def test_lvis_open_images_and_cityscapes_are_known():
    lvis = Results({'lvis/bbox_AP': 0.2, 'lvis/bbox_AP50': 0.3, 'lvis/bbox_APr': 0.1})
    assert titles(lvis)[0] == 'box mAP (IoU 0.50:0.95)'
    assert titles(lvis)[2] == 'box mAP (IoU 0.50:0.95, rare classes)'
    assert Results({'openimages/AP50': 0.3, 'openimages/mAP': 0.3}).main.title == 'mAP (IoU 0.50)'
    cityscapes = Results({'cityscapes/mAP': 0.3, 'cityscapes/AP@50': 0.5})
    assert titles(cityscapes) == ['mAP (IoU 0.50:0.95)', 'AP (IoU 0.50)']


def test_recall_is_shown_in_percent_with_its_threshold():
    results = Results({'pascal_voc/recall@100@0.5': 0.6, 'coco/AR_s@1000': 0.4})
    assert titles(results) == [
        'recall of 100 proposals (IoU 0.50)',
        'average recall of 1000 proposals (small objects)',
    ]
    assert results.text == 'recall of 100 proposals 60.0'


def test_an_unknown_evaluator_gives_its_own_names_and_no_unit():
    results = Results({'mine/top1': 71.25, 'mine/depth_error': 0.125})
    assert results.text == 'top1 71.25'
    assert [metric.higher_is_better for metric in results.metrics] == [True, False]
    assert {metric.unit for metric in results.metrics} == {''}


def test_the_miss_rate_is_better_when_lower():
    results = Results({'crowd_human/mAP': 0.8, 'crowd_human/mMR': 0.45, 'crowd_human/JI': 0.7})
    assert {m.name: m.higher_is_better for m in results.metrics} == {
        'mAP': True,
        'mMR': False,
        'JI': True,
    }
    assert results.metrics[1].text(0.45) == '45.0'


def test_what_is_logged_beside_the_metrics_is_none():
    results = Results(dict(time=0.1, data_time=0.1, step=4, loss=1.0, name='a', flag=True))
    assert (results.main, results.score, results.text) == (None, None, 'no result')
    for value in (math.nan, math.inf, 10**400):
        assert Results({'coco/bbox_mAP': value}).main is None


def test_a_value_is_only_that_of_the_same_thresholds():
    single, double = Results(VOC), Results({**VOC, 'pascal_voc/AP75': 0.3})
    assert single.value(single.main) == 0.5
    assert double.value(single.main) is None


@pytest.mark.parametrize(
    ('value', 'signed', 'text'),
    [
        (0.12345, False, '12.3'),
        (0.12345, True, '+12.3'),
        (-0.12345, True, '-12.3'),
        (-0.0001, True, '0.0'),
        (0.0001, True, '0.0'),
        (-0.0, False, '0.0'),
        (None, True, '–'),
        (math.nan, False, '–'),
    ],
)
def test_a_value_is_written_in_percent_and_zero_without_a_sign(value, signed, text):
    assert Metric('', 'mAP').text(value, signed) == text


def test_a_number_keeps_its_format():
    assert number_text(-0.04, True, '.1f') == '0.0'
    assert number_text(1234.5678, spec='.4g') == '1235'


def test_a_file_is_read(tmp_path):
    file = tmp_path / '20300101_000000.json'
    file.write_text(json.dumps(COCO))
    assert read_results(file).score == 0.2


@pytest.mark.parametrize('text', ['', '{"coco/bbox_mAP": 0.', '[]'])
def test_a_file_that_is_no_result_is_refused(tmp_path, text):
    file = tmp_path / 'broken.json'
    file.write_text(text)
    with pytest.raises(UserError, match='test again'):
        read_results(file)
