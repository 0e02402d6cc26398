"""The graph of every family detects what its detector detects, whatever the images are."""

from functools import cache

import pytest
import torch
from tiny_detectors import CLASSES, FAMILIES, tiny_detector

from nst_det.export.compare import Comparison, compare
from nst_det.export.info import model_info
from nst_det.export.onnx_graph import EXAMPLE_SHAPE, record_graph, with_info
from nst_det.export.verify import predict, run
from nst_det.runtime.session import OnnxSession

QUICK = ('Faster R-CNN', 'Mask R-CNN', 'RetinaNet', 'RTMDet-Ins', 'DETR')
ALWAYS_FULL = ('DETR', 'Deformable DETR', 'DINO')  # they give a fixed number of boxes
families = pytest.mark.parametrize(
    'family',
    [
        pytest.param(family, marks=[] if family in QUICK else pytest.mark.slow)
        for family in FAMILIES
    ],
)


def images(count: int, height: int, width: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 5, 7, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode='bilinear')
    return 255 * (0.5 * smooth + 0.5 * torch.rand(count, 3, height, width, generator=generator))


def options_of(family, detector):
    return detector.roi_head.test_cfg if 'R-CNN' in family else detector.bbox_head.test_cfg


@cache
def exported(family, with_empty_images=False):
    """A detector, its graph, its limits, and an image in which it sees nothing.

    Without empty images its threshold is low: levels have more candidates than nms_pre.
    """
    detector, cfg = tiny_detector(family)
    empty = choose_threshold(options_of(family, detector), detector) if with_empty_images else None
    graph, module = record_graph(detector)
    info = model_info(module, cfg, CLASSES)
    return detector, OnnxSession(with_info(graph, info), threads=1), module.limits, empty


def choose_threshold(options, detector):
    """Choose a score threshold at which one image has no detection, and another one has."""
    pool = [images(1, 96, 128, seed) for seed in range(4)]
    low, high = 0.0, 1.0
    for _ in range(20):
        options.score_thr = (low + high) / 2
        counts = [len(predict(detector, image)[0].scores) for image in pool]
        if 0 in counts and any(counts):
            return pool[counts.index(0)]
        low, high = (options.score_thr, high) if any(counts) else (low, options.score_thr)
    return pytest.fail('all images become empty at one threshold')


def differences(family, batch, **options):
    detector, session, limits, _ = exported(family, **options)
    found = Comparison()
    for one, other in zip(predict(detector, batch), run(session, batch), strict=True):
        found.add(compare(one, other, limits))
    return found


@families
def test_other_sizes_and_batches_than_the_recorded_one(family):
    shapes = [(1, 128, 160), (1, 192, 96), (3, 64, 96)]
    assert EXAMPLE_SHAPE not in shapes
    found = [differences(family, images(*shape, seed=1)) for shape in shapes]
    assert sum(one.expected for one in found)
    assert [one.wrong for one in found] == [[], [], []]


@pytest.mark.parametrize(
    'family',
    [
        pytest.param(family, marks=[] if family == 'Mask R-CNN' else pytest.mark.slow)
        for family in FAMILIES
        if family not in ('YOLOX', 'RTMDet', 'RTMDet-Ins')  # themselves they need multiples of 32
    ],
)
def test_odd_sizes(family):
    found = differences(family, images(2, 83, 117, seed=2))
    assert found.expected
    assert not found.wrong


thresholds = pytest.mark.parametrize(
    'family',
    [
        pytest.param(family, marks=[] if family in QUICK else pytest.mark.slow)
        for family in FAMILIES
        if family not in ALWAYS_FULL
    ],
)


@thresholds
def test_an_image_without_detections_gives_an_empty_result(family):
    detector, session, _, empty = exported(family, with_empty_images=True)
    assert not len(predict(detector, empty)[0].scores)
    (given,) = run(session, empty)
    assert given.boxes.shape == (0, 4)
    assert len(given.scores) == len(given.labels) == 0


@thresholds
def test_an_empty_image_beside_others(family):
    *_, empty = exported(family, with_empty_images=True)
    batch = torch.cat([empty, *(images(1, 96, 128, seed) for seed in range(4))])
    found = differences(family, batch, with_empty_images=True)
    assert found.expected
    assert not found.wrong


@pytest.mark.parametrize(
    'family',
    [
        pytest.param(family, marks=[] if family in QUICK else pytest.mark.slow)
        for family in FAMILIES
        if family not in (*ALWAYS_FULL, 'YOLOX')  # they have no nms_pre
    ],
)
def test_more_candidates_than_nms_pre_change_the_result_and_the_graph_follows(family):
    detector, *_ = exported(family)
    batch = torch.cat([images(1, 96, 128, seed) for seed in range(4)])
    expected = predict(detector, batch)
    head = detector.rpn_head if 'R-CNN' in family else detector.bbox_head
    few, head.test_cfg.nms_pre = head.test_cfg.nms_pre, 1000
    try:
        without = predict(detector, batch)
    finally:
        head.test_cfg.nms_pre = few
    # So nms_pre leaves out candidates that would have changed the result.
    assert [one.scores.tolist() for one in without] != [one.scores.tolist() for one in expected]
    assert not differences(family, batch).wrong


@pytest.mark.parametrize('family', ['Mask R-CNN', 'RTMDet-Ins'])
def test_masks_are_in_the_graph(family):
    detector, session, _, _ = exported(family)
    batch = torch.cat([images(1, 96, 128, seed) for seed in range(4)])
    pairs = list(zip(predict(detector, batch), run(session, batch), strict=True))
    assert any(expected.masks.any() for expected, _ in pairs)
    for expected, given in pairs:
        assert given.masks.shape == expected.masks.shape == (len(expected.scores), 96, 128)
        assert (given.masks != expected.masks).sum() <= 0.001 * expected.masks.size
