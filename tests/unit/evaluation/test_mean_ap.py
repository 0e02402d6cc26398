"""The AP of VOC against a second implementation of the protocol, and against mmdet."""

import importlib.util
import tarfile
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from mmdet.datasets import VOCDataset
from mmdet.evaluation import eval_map

from nst_det.evaluation import eval_voc_map

_spec = importlib.util.spec_from_file_location(
    'official_voc', Path(__file__).with_name('official_voc.py')
)
official = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(official)


def random_set(rng, images=None, classes=3, integers=True, levels=12):
    """Objects and detections near them; few distinct scores and corners, so that ties abound."""
    images = images or rng.integers(1, 8)
    detections, annotations = [], []
    for _ in range(images):
        count = rng.integers(0, 6)
        corners = rng.integers(0, 12, (count, 2))
        boxes = np.hstack([corners, corners + rng.integers(1, 8, (count, 2))]).astype(np.float32)
        labels = rng.integers(0, classes, count)
        difficult = rng.random(count) < 0.25
        annotations.append(
            dict(
                bboxes=boxes[~difficult],
                labels=labels[~difficult],
                bboxes_ignore=boxes[difficult],
                labels_ignore=labels[difficult],
            )
        )
        near = boxes[rng.integers(0, count, rng.integers(0, 9))] if count else boxes
        near = near + rng.integers(-2, 3, near.shape)
        if not integers:
            near = near + rng.random(near.shape)
        scores = rng.integers(0, levels, len(near)) / levels
        detections.append(
            dict(
                bboxes=near.astype(np.float32),
                labels=rng.integers(0, classes, len(near)),
                scores=scores.astype(np.float32),
            )
        )
    return detections, annotations, classes


def official_aps(detections, annotations, classes):
    """The AP by class of the second implementation."""
    aps = []
    for label in range(classes):
        found = [
            (image, float(score), [float(side) for side in box])
            for image, detected in enumerate(detections)
            for box, kind, score in zip(detected['bboxes'], detected['labels'], detected['scores'])
            if kind == label
        ]
        objects = {
            image: [
                ([float(side) for side in box], hard)
                for key, hard in (('', False), ('_ignore', True))
                for box, kind in zip(annotated[f'bboxes{key}'], annotated[f'labels{key}'])
                if kind == label
            ]
            for image, annotated in enumerate(annotations)
        }
        aps.append(official.average_precision(found, objects))
    return aps


def differences(detections, annotations, classes):
    mean, results = eval_voc_map(detections, annotations, classes)
    aps = official_aps(detections, annotations, classes)
    assert [result['num_gts'] > 0 for result in results] == [ap is not None for ap in aps]
    counted = [(result['ap'], ap) for result, ap in zip(results, aps) if ap is not None]
    expected = np.mean([ap for _, ap in counted]) if counted else 0
    return [abs(ap - other) for ap, other in counted] + [abs(mean - expected)]


def mmdet_map(detections, annotations, classes):
    rows = [np.hstack([detected['bboxes'], detected['scores'][:, None]]) for detected in detections]
    return eval_map(
        [
            [boxes[detected['labels'] == label] for label in range(classes)]
            for boxes, detected in zip(rows, detections)
        ],
        annotations,
        iou_thr=0.5,
        logger='silent',
        nproc=1,
        use_legacy_coordinate=True,
        eval_mode='11points',
    )


@pytest.mark.parametrize('integers', [True, False], ids=['integer corners', 'decimal corners'])
def test_ap_equals_the_protocol_on_random_detections(integers):
    rng = np.random.default_rng(integers)
    for _ in range(1000):
        assert max(differences(*random_set(rng, integers=integers))) < 1e-9


@pytest.mark.slow
def test_ap_equals_the_protocol_on_many_more_random_detections():
    rng = np.random.default_rng(2)
    for i in range(20000):
        assert max(differences(*random_set(rng, integers=bool(i % 2)))) < 1e-9


def test_ap_equals_that_of_mmdet_without_ties_and_recalls_of_a_tenth():
    rng = np.random.default_rng(3)
    compared = 0
    while compared < 40:
        made = random_set(rng, images=1, classes=1, integers=False, levels=10**6)
        mean, classes = eval_voc_map(*made)
        if any(result['num_gts'] % 10 == 0 for result in classes):
            continue
        expected, expected_classes = mmdet_map(*made)
        assert mean == pytest.approx(expected, abs=1e-6)
        for result, wanted in zip(classes, expected_classes):
            assert (
                result['num_gts'] == wanted['num_gts'] and result['num_dets'] == wanted['num_dets']
            )
            np.testing.assert_allclose(result['recall'], wanted['recall'], atol=1e-6)
            np.testing.assert_allclose(result['precision'], wanted['precision'], atol=1e-6)
        compared += 1


def test_three_of_ten_objects_reach_the_recall_of_three_tenths():
    boxes = np.array([[20 * i, 0, 20 * i + 9, 9] for i in range(10)], np.float32)
    annotation = dict(
        bboxes=boxes,
        labels=np.zeros(10, int),
        bboxes_ignore=boxes[:0],
        labels_ignore=np.zeros(0, int),
    )
    found = dict(bboxes=boxes[:3], labels=np.zeros(3, int), scores=np.array([0.9, 0.8, 0.7]))
    mean, _ = eval_voc_map([found], [annotation], 1)
    assert mean == pytest.approx(4 / 11, abs=1e-12)
    assert mmdet_map([found], [annotation], 1)[0] != pytest.approx(4 / 11, abs=0.01)


def test_ap_by_area_is_the_area_under_the_interpolated_curve():
    rng = np.random.default_rng(4)
    for _ in range(50):
        _, (result,) = eval_voc_map(*random_set(rng, classes=1), eval_mode='area')
        area, last = 0.0, 0.0
        for i, recall in enumerate(result['recall']):
            area += (recall - last) * max(result['precision'][i:])
            last = recall
        assert result['ap'] == pytest.approx(area, abs=1e-12)


def test_ap_without_detections_and_objects_is_0():
    nothing = dict(
        bboxes=np.zeros((0, 4)),
        labels=np.zeros(0, int),
        bboxes_ignore=np.zeros((0, 4)),
        labels_ignore=np.zeros(0, int),
    )
    found = dict(bboxes=np.zeros((0, 4)), labels=np.zeros(0, int), scores=np.zeros(0))
    mean, classes = eval_voc_map([found], [nothing], 1)
    assert mean == 0 and classes[0]['ap'] == 0


# The genuine annotations.


@pytest.fixture(scope='module')
def genuine(shared):
    """The annotations of all 4952 test images of VOC2007, in the data set's format."""
    names = VOCDataset.METAINFO['classes']
    files = {}
    with tarfile.open(shared / 'data' / 'voc2007_subset' / 'annotations_all_9963.tar.xz') as tar:
        for member in tar:
            if member.name.endswith(('.xml', '/test.txt')):
                files[Path(member.name).name] = tar.extractfile(member).read()
    annotations = []
    for name in files['test.txt'].decode().split():
        objects = ET.fromstring(files[f'{name}.xml']).findall('object')
        boxes = np.array(
            [
                [
                    int(obj.findtext(f'bndbox/{side}')) - 1
                    for side in ('xmin', 'ymin', 'xmax', 'ymax')
                ]
                for obj in objects
            ],
            np.float32,
        )
        labels = np.array([names.index(obj.findtext('name')) for obj in objects])
        difficult = np.array([obj.findtext('difficult') == '1' for obj in objects])
        annotations.append(
            dict(
                bboxes=boxes[~difficult],
                labels=labels[~difficult],
                bboxes_ignore=boxes[difficult],
                labels_ignore=labels[difficult],
            )
        )
    return annotations


def detections_near(annotations, rng):
    """The detections of a mediocre detector: shifted, repeated and wrong boxes."""
    detections = []
    for annotation in annotations:
        boxes = np.concatenate([annotation['bboxes'], annotation['bboxes_ignore']])
        labels = np.concatenate([annotation['labels'], annotation['labels_ignore']])
        pick = rng.integers(0, len(boxes), 2 * len(boxes))
        sides = np.tile(boxes[pick][:, 2:] - boxes[pick][:, :2], 2)
        near = boxes[pick] + rng.normal(0, 0.12, sides.shape) * sides
        kinds = np.where(rng.random(len(pick)) < 0.8, labels[pick], rng.integers(0, 20, len(pick)))
        scores = rng.random(len(pick)).round(3).astype(np.float32)
        detections.append(dict(bboxes=near.astype(np.float32), labels=kinds, scores=scores))
    return detections


def test_ap_equals_the_protocol_on_the_genuine_annotations(genuine):
    assert len(genuine) == 4952
    assert sum(len(annotation['bboxes']) for annotation in genuine) == 12032
    detections = detections_near(genuine, np.random.default_rng(5))
    mean, _ = eval_voc_map(detections, genuine, 20)
    assert 0.2 < mean < 0.8
    assert max(differences(detections, genuine, 20)) < 1e-9
