"""VOC's AP against the protocol written once more, and against mmdet's."""

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


def random_set(rng, images=None, classes=3, whole=True, levels=12):
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
        if not whole:
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


def judged(detections, annotations, classes):
    """The judge's AP by class."""
    aps = []
    for label in range(classes):
        found = [
            (image, float(score), [float(side) for side in box])
            for image, one in enumerate(detections)
            for box, kind, score in zip(one['bboxes'], one['labels'], one['scores'])
            if kind == label
        ]
        objects = {
            image: [
                ([float(side) for side in box], hard)
                for key, hard in (('', False), ('_ignore', True))
                for box, kind in zip(one[f'bboxes{key}'], one[f'labels{key}'])
                if kind == label
            ]
            for image, one in enumerate(annotations)
        }
        aps.append(official.average_precision(found, objects))
    return aps


def differences(detections, annotations, classes):
    mean, results = eval_voc_map(detections, annotations, classes)
    aps = judged(detections, annotations, classes)
    assert [one['num_gts'] > 0 for one in results] == [ap is not None for ap in aps]
    counted = [(one['ap'], ap) for one, ap in zip(results, aps) if ap is not None]
    expected = np.mean([ap for _, ap in counted]) if counted else 0
    return [abs(ap - other) for ap, other in counted] + [abs(mean - expected)]


def mmdets(detections, annotations, classes):
    rows = [np.hstack([one['bboxes'], one['scores'][:, None]]) for one in detections]
    return eval_map(
        [
            [boxes[one['labels'] == label] for label in range(classes)]
            for boxes, one in zip(rows, detections)
        ],
        annotations,
        iou_thr=0.5,
        logger='silent',
        nproc=1,
        use_legacy_coordinate=True,
        eval_mode='11points',
    )


@pytest.mark.parametrize('whole', [True, False], ids=['whole pixels', 'parts of pixels'])
def test_it_is_the_protocols_on_random_detections(whole):
    rng = np.random.default_rng(whole)
    for _ in range(1000):
        assert max(differences(*random_set(rng, whole=whole))) < 1e-9


@pytest.mark.slow
def test_it_is_the_protocols_on_many_more():
    rng = np.random.default_rng(2)
    for i in range(20000):
        assert max(differences(*random_set(rng, whole=bool(i % 2)))) < 1e-9


def test_it_is_mmdets_where_nothing_ties_and_no_recall_is_a_tenth():
    rng = np.random.default_rng(3)
    compared = 0
    while compared < 40:
        made = random_set(rng, images=1, classes=1, whole=False, levels=10**6)
        mean, classes = eval_voc_map(*made)
        if any(one['num_gts'] % 10 == 0 for one in classes):
            continue
        theirs, their_classes = mmdets(*made)
        assert mean == pytest.approx(theirs, abs=1e-6)
        for one, their in zip(classes, their_classes):
            assert (one['num_gts'], one['num_dets']) == (their['num_gts'], their['num_dets'])
            np.testing.assert_allclose(one['recall'], their['recall'], atol=1e-6)
            np.testing.assert_allclose(one['precision'], their['precision'], atol=1e-6)
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
    assert mmdets([found], [annotation], 1)[0] != pytest.approx(4 / 11, abs=0.01)


def test_the_area_mode_is_the_area_under_the_curves_envelope():
    rng = np.random.default_rng(4)
    for _ in range(50):
        _, (one,) = eval_voc_map(*random_set(rng, classes=1), eval_mode='area')
        area, last = 0.0, 0.0
        for i, recall in enumerate(one['recall']):
            area += (recall - last) * max(one['precision'][i:])
            last = recall
        assert one['ap'] == pytest.approx(area, abs=1e-12)


def test_without_detections_or_objects_it_is_0():
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
    """What a middling detector finds: objects more or less, twice, and things that are none."""
    detections = []
    for one in annotations:
        boxes = np.concatenate([one['bboxes'], one['bboxes_ignore']])
        labels = np.concatenate([one['labels'], one['labels_ignore']])
        pick = rng.integers(0, len(boxes), 2 * len(boxes))
        sides = np.tile(boxes[pick][:, 2:] - boxes[pick][:, :2], 2)
        near = boxes[pick] + rng.normal(0, 0.12, sides.shape) * sides
        kinds = np.where(rng.random(len(pick)) < 0.8, labels[pick], rng.integers(0, 20, len(pick)))
        scores = rng.random(len(pick)).round(3).astype(np.float32)
        detections.append(dict(bboxes=near.astype(np.float32), labels=kinds, scores=scores))
    return detections


def test_it_is_the_protocols_on_the_genuine_annotations(genuine):
    assert len(genuine) == 4952
    assert sum(len(one['bboxes']) for one in genuine) == 12032
    detections = detections_near(genuine, np.random.default_rng(5))
    mean, _ = eval_voc_map(detections, genuine, 20)
    assert 0.2 < mean < 0.8
    assert max(differences(detections, genuine, 20)) < 1e-9
