"""Focal and global distillation against its formulas, position by position."""

import math

import pytest
import torch

from nst_det.errors import UserError
from nst_det.models.losses import FGDLoss

WEIGHTS = dict(
    foreground_weight=2.0, background_weight=0.5, attention_weight=0.3, relation_weight=0.1
)


def feature_map(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def connected(channels=3, **options):
    torch.manual_seed(3)
    loss = FGDLoss(2.0, **options)
    loss.connect(channels, channels)
    for parameter in loss.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return loss.double()


def softmax(values):
    powers = [math.exp(value) for value in values]
    return [power / sum(powers) for power in powers]


def attention(image, positions, temperature):
    """Eqs. 5 to 8: over the positions that count and over the channels."""
    channels = range(len(image))
    spatial = [sum(abs(image[c, y, x].item()) for c in channels) / len(image) for y, x in positions]
    channel = [
        sum(abs(image[c, y, x].item()) for y, x in positions) / len(positions) for c in channels
    ]
    over_positions = softmax([value / temperature for value in spatial])
    over_channels = softmax([value / temperature for value in channel])
    return (
        [len(positions) * value for value in over_positions],
        [len(image) * value for value in over_channels],
    )


def related(image, positions, block):
    """R of section 3.3: attention over the positions, two layers, a residual."""
    rows = torch.stack([image[:, y, x] for y, x in positions])
    logits = rows @ block.attention.weight.flatten() + block.attention.bias
    context = logits.softmax(0) @ rows
    first, norm, _, second = block.change
    hidden = context @ first.weight.T + first.bias
    hidden = (hidden - hidden.mean()) / (hidden.var(unbiased=False) + norm.eps).sqrt()
    hidden = (hidden * norm.weight + norm.bias).clamp(min=0)
    return rows + hidden @ second.weight.T + second.bias


def reference(student, teacher, mask, boxes, loss):
    total = 0.0
    for n in range(len(student)):
        positions = [tuple(place) for place in mask[n, 0].nonzero().tolist()]
        covered = {place: [] for place in positions}
        for left, top, right, bottom in boxes[n].tolist():
            inside = [
                (y, x)
                for y, x in positions
                if left <= x + 0.5 <= right and top <= y + 0.5 <= bottom
            ]
            for place in inside:
                covered[place].append(len(inside))
        background = sum(not areas for areas in covered.values())
        spatial, channel = attention(teacher[n], positions, loss.temperature)
        for i, (y, x) in enumerate(positions):
            areas = covered[y, x]
            scale = 2.0 / min(areas) if areas else 0.5 / background
            for c in range(len(channel)):
                squared = (teacher[n, c, y, x].item() - student[n, c, y, x].item()) ** 2
                total += scale * spatial[i] * channel[c] * squared
        for of_teacher, of_student in zip(
            (spatial, channel), attention(student[n], positions, loss.temperature)
        ):
            total += 0.3 * sum(abs(a - b) for a, b in zip(of_teacher, of_student))
        difference = related(student[n], positions, loss.relations['student'])
        difference = difference - related(teacher[n], positions, loss.relations['teacher'])
        total += 0.1 * difference.square().sum().item()
    return 2 * total / len(student)


@pytest.mark.parametrize('masked', [False, True])
@pytest.mark.parametrize('temperature', [0.5, 2.0])
def test_fgd_loss_equals_the_formulas(masked, temperature):
    loss = connected(**WEIGHTS, temperature=temperature)
    student, teacher = feature_map(3, 3, 4, 5), feature_map(3, 3, 4, 5, seed=1)
    boxes = [
        torch.tensor([[0.0, 0.0, 3.0, 3.0], [1.0, 1.0, 4.2, 2.4]]),  # which overlap
        torch.tensor([[0.4, 0.2, 1.9, 3.9]]),
        torch.zeros(0, 4),  # an image without objects
    ]
    mask = torch.zeros(3, 1, 4, 5, dtype=torch.bool)
    mask[0, :, :3], mask[1, :, :, :3], mask[2] = True, True, True
    mask = mask if masked else torch.ones_like(mask)
    expected = reference(student, teacher, mask, boxes, loss)
    found = loss(student, teacher, mask if masked else None, boxes)
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_a_large_and_a_small_object_count_the_same():
    loss = connected(
        1, foreground_weight=1.0, background_weight=0.0, attention_weight=0.0, relation_weight=0.0
    )
    teacher = torch.ones(1, 1, 8, 8, dtype=torch.float64)  # whose attention is 1 everywhere
    for size in (1.0, 2.0, 6.0):
        boxes = [torch.tensor([[0.0, 0.0, size, size]])]
        assert loss(teacher + 3, teacher, None, boxes).item() == pytest.approx(2 * 9)


def test_the_relation_begins_as_none():
    loss = FGDLoss(1.0, 0.0, 0.0, 0.0, 1.0)
    loss.connect(3, 3)
    student, teacher = torch.rand(1, 3, 4, 5), torch.rand(1, 3, 4, 5)
    expected = (student - teacher).square().sum()
    torch.testing.assert_close(loss(student, teacher, None, [torch.zeros(0, 4)]), expected)


def test_both_relations_learn():
    loss = connected(**WEIGHTS)
    boxes = [torch.tensor([[0.0, 0.0, 3.0, 3.0]])]
    loss(feature_map(1, 3, 4, 5), feature_map(1, 3, 4, 5, seed=1), None, boxes).backward()
    gradients = [parameter.grad for parameter in loss.relations.parameters()]
    assert len(gradients) == 16 and all(gradient is not None for gradient in gradients)


def test_missing_boxes_and_missing_parts_are_refused_in_one_line():
    student, teacher = torch.rand(1, 3, 4, 5), torch.rand(1, 3, 4, 5)
    with pytest.raises(UserError, match='^FGDLoss needs the ground-truth boxes$'):
        connected()(student, teacher)
    with pytest.raises(UserError, match='^FGDLoss needs a call of connect first$'):
        FGDLoss()(student, teacher, None, [torch.zeros(0, 4)])
