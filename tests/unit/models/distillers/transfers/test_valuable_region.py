"""The valuable localization region against its definition, anchor by anchor."""

import math

import pytest
import torch
from mmdet.models.task_modules.assigners import ATSSAssigner
from mmengine.structures import InstanceData

from nst_det.models.distillers.transfers.valuable_region import valuable_region

BOXES = torch.tensor([[10.0, 10.0, 50.0, 40.0], [30.0, 25.0, 90.0, 95.0], [2.0, 70.0, 14.0, 84.0]])


def levels():
    """Square anchors of 32 and 64 pixels at the strides 8 and 16, of an image of 96 pixels."""
    found = []
    for stride in (8, 16):
        centres = torch.arange(0, 96, stride, dtype=torch.float)
        y, x = (grid.flatten() for grid in torch.meshgrid(centres, centres, indexing='ij'))
        half = 2 * stride
        found.append(torch.stack([x - half, y - half, x + half, y + half], dim=1))
    return found


def everywhere():
    return [torch.ones(len(level), dtype=torch.bool) for level in levels()]


def area(box):
    return max(box[2] - box[0], 0) * max(box[3] - box[1], 0)


def iou_and_diou(a, b):
    inner = area([max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])])
    iou = inner / (area(a) + area(b) - inner)
    apart = sum(((a[i] + a[i + 2] - b[i] - b[i + 2]) / 2) ** 2 for i in (0, 1))
    outer = sum((max(a[i + 2], b[i + 2]) - min(a[i], b[i])) ** 2 for i in (0, 1))
    return iou, iou - apart / outer


def reference(boxes, topk, counts):
    """Anchor by anchor from the definition; the threshold of each object is that of ATSS."""
    anchors = torch.cat(levels()).tolist()
    kept = torch.cat(counts).tolist()
    weights = [0.0] * len(anchors)
    for box in boxes.tolist():
        candidates, start = [], 0
        for level in levels():
            indices = [i for i in range(start, start + len(level)) if kept[i]]
            start += len(level)
            apart = [
                math.dist(*([(b[i] + b[i + 2]) / 2 for i in (0, 1)] for b in (anchors[i], box)))
                for i in indices
            ]
            nearest = sorted(range(len(indices)), key=lambda i: apart[i])[:topk]
            candidates += [iou_and_diou(anchors[indices[i]], box)[0] for i in nearest]
        mean = sum(candidates) / len(candidates)
        spread = sum((value - mean) ** 2 for value in candidates) / (len(candidates) - 1)
        threshold = mean + math.sqrt(spread)
        for i, anchor in enumerate(anchors):
            iou, diou = iou_and_diou(anchor, box)
            if kept[i] and 0.25 * threshold <= diou < threshold:
                weights[i] = max(weights[i], iou)
    return torch.tensor(weights)


@pytest.mark.parametrize('topk', [4, 9])
def test_the_region_is_that_of_the_definition(topk):
    found = valuable_region(levels(), everywhere(), BOXES, topk)
    assert 10 < (found > 0).sum() < 150
    torch.testing.assert_close(found, reference(BOXES, topk, everywhere()))


def test_anchors_in_the_padding_do_not_count():
    counts = [(level[:, 2:] + level[:, :2] < 2 * 64).all(1) for level in levels()]
    found = valuable_region(levels(), counts, BOXES[:1], 9)
    torch.testing.assert_close(found, reference(BOXES[:1], 9, counts))
    assert not found[~torch.cat(counts)].any()


def test_the_region_surrounds_what_the_assigner_takes():
    anchors = torch.cat(levels())
    taken = ATSSAssigner(topk=9).assign(
        InstanceData(priors=anchors),
        [len(level) for level in levels()],
        InstanceData(bboxes=BOXES[:1], labels=torch.tensor([0])),
    )
    on_object = taken.gt_inds > 0
    region = valuable_region(levels(), everywhere(), BOXES[:1], 9) > 0
    assert on_object.any()
    apart = (anchors[:, :2] + anchors[:, 2:] - BOXES[0, :2] - BOXES[0, 2:]).norm(dim=1)
    assert apart[on_object].mean() < apart[region].mean()


def test_an_image_without_objects_has_no_region():
    assert not valuable_region(levels(), everywhere(), BOXES[:0], 9).any()
