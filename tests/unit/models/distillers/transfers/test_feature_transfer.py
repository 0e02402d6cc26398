"""A transfer between two feature maps, inside a distiller."""

import copy

import pytest
import torch
from mmdet.models.detectors.base import BaseDetector
from mmdet.registry import MODELS
from mmengine.structures import InstanceData
from torch import nn

from nst_det.errors import UserError

LOSSES = ['NSTLoss', 'ATLoss', 'FitNetLoss']


@MODELS.register_module(force=True)
class ChainDetector(BaseDetector):
    """A detector of a few convolutions, one after another."""

    def __init__(self, channels, inplace=False, data_preprocessor=None):
        super().__init__(data_preprocessor=data_preprocessor)
        self.first = nn.Conv2d(3, channels, 4, 4)
        self.relu = nn.ReLU(inplace)
        self.second = nn.Conv2d(channels, channels, 4, 4)
        self.head = Head(channels)

    def extract_feat(self, images):
        features = self.relu(self.first(images))
        return [features, self.second(features)]

    def loss(self, images, samples):
        return dict(loss_detection=self.head(self.extract_feat(images)).square().mean())

    def predict(self, images, samples):
        return samples

    def _forward(self, images, samples=None):
        return self.head(self.extract_feat(images))


class Head(nn.Module):
    """A head that takes a list of feature maps."""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, 2, 1)

    def forward(self, levels):
        return self.conv(levels[1])


def distiller(layers, loss='NSTLoss', foreground=False, scale=1.0, **options):
    """A distiller that reads one layer of both detectors, or one layer of each."""
    taps = dict(layer=layers)
    if isinstance(layers, tuple):
        taps = dict(student_layer=layers[0], teacher_layer=layers[1])
    torch.manual_seed(0)
    preprocessor = dict(type='DetDataPreprocessor', mean=[110.0] * 3, std=[60.0] * 3)
    detector = dict(type='ChainDetector', data_preprocessor=preprocessor, **options)
    model = MODELS.build(
        dict(
            type='NSTDistiller',
            student=dict(detector, channels=4),
            teacher=dict(config=dict(detector, channels=6), checkpoint='random', scale=scale),
            transfers=[dict(**taps, loss=dict(type=loss), foreground=foreground)],
            monitor_interval=1,
        )
    )
    torch.manual_seed(1)
    for parameter in [*model.parameters(), *model.open_teacher().detector.parameters()]:
        nn.init.normal_(parameter, std=0.3)
    return model


def step(layers, padded_batch, loss='NSTLoss'):
    """Run two training steps: the teacher runs to its end in the first only."""
    model = distiller(layers, loss)
    torch.manual_seed(2)
    data = padded_batch(model)
    model(**copy.deepcopy(data), mode='loss')
    losses = model(**data, mode='loss')
    model.parse_losses(losses)[0].backward()
    gradients = [parameter.grad.clone() for parameter in model.first.parameters()]
    return [value.detach() for value in losses.values()], gradients, list(losses)


@pytest.mark.parametrize('loss', LOSSES)
@pytest.mark.parametrize(
    ('of_input', 'of_output'),
    [('input:second', 'relu'), ('input:head[0]', 'relu'), ('input:head.conv', 'second')],
)
def test_the_input_of_a_module_is_compared_as_the_output_of_the_module_before(
    loss, of_input, of_output, padded_batch
):
    values, gradients, names = step(of_input, padded_batch, loss)
    expected_values, expected_gradients, _ = step(of_output, padded_batch, loss)
    torch.testing.assert_close(values, expected_values, rtol=0, atol=0)
    torch.testing.assert_close(gradients, expected_gradients, rtol=0, atol=0)
    layer = of_input.replace(':', '_').replace('.', '_').replace('[', '_').replace(']', '')
    method = loss.removesuffix('Loss').lower()
    label = layer if loss == 'NSTLoss' else f'{method}_{layer}'
    assert f'loss_{method}_{layer}' in names
    ratio = dict(zip(names, values))[f'grad_ratio_{label}']
    assert 0 < ratio < float('inf')


@pytest.mark.parametrize('layers', [('input:second', 'relu'), ('relu', 'input:second')])
def test_an_input_of_one_detector_is_compared_with_an_output_of_the_other(layers, padded_batch):
    values, gradients, _ = step(layers, padded_batch)
    expected_values, expected_gradients, _ = step(('relu', 'relu'), padded_batch)
    torch.testing.assert_close(values, expected_values, rtol=0, atol=0)
    torch.testing.assert_close(gradients, expected_gradients, rtol=0, atol=0)


def test_the_teacher_stops_before_the_module_whose_input_is_read(padded_batch):
    model = distiller('input:second')
    data = padded_batch(model)
    model(**copy.deepcopy(data), mode='loss')
    model.teacher.detector.second.forward = lambda x: pytest.fail('the module ran')
    model(**data, mode='loss')


@pytest.mark.parametrize('layer', ['input:relu', 'first'])
def test_a_feature_map_that_is_overwritten_in_place_is_refused(layer, padded_batch):
    model = distiller(layer, inplace=True)
    with pytest.raises(UserError, match=r"^the (student|teacher)'s layer [^\n]*in place[^\n]*$"):
        model(**padded_batch(model), mode='loss')


def test_the_images_cannot_learn(padded_batch):
    model = distiller('input:first')
    with pytest.raises(UserError, match="no gradient reaches the student's layer 'input:first'"):
        model(**padded_batch(model), mode='loss')


# The first level has a stride of 4 pixels. The box of each image is (2, 2, 30, 30), and (2, 2) is
# the centre of a position.
@pytest.mark.parametrize(
    ('margin', 'count'),
    [(0, 8), (1.9, 8), (2, 8), (4, 9)],
)
@pytest.mark.parametrize('loss', LOSSES)
def test_only_the_positions_on_objects_count(loss, margin, count, padded_batch):
    model = distiller('relu', loss, dict(margin=margin))
    data = padded_batch(model)
    losses = model(**copy.deepcopy(data), mode='loss')
    (transfer,) = model.transfers
    with torch.no_grad():
        student, teacher = (
            detector.extract_feat(data['inputs'])[0]
            for detector in (model.student, model.teacher.detector)
        )
        found = losses[transfer.name]
        mask = torch.zeros(2, 1, *student.shape[2:], dtype=torch.bool)
        mask[:, :, :count, :count] = True
        mask[1, :, 8:] = False  # the second image is 33 pixels high: its 9th row is padding
        torch.testing.assert_close(found, transfer.loss(student, teacher, mask))
        everywhere = transfer.loss(student, teacher, torch.ones_like(mask))
    assert not torch.isclose(found, everywhere)


def test_an_image_without_objects_adds_nothing(padded_batch):
    model = distiller('relu', foreground=True)
    data = padded_batch(model)
    objects = data['data_samples'][1].gt_instances
    data['data_samples'][1].gt_instances = objects[:0]
    both = model(**copy.deepcopy(data), mode='loss')['loss_nst_relu']
    data['data_samples'][0].gt_instances = objects[:0]
    assert model(**data, mode='loss')['loss_nst_relu'] == 0 < both


def test_an_object_in_the_last_pixels_of_an_image_has_a_position(padded_batch):
    """The centre of the second level's third row, 40, lies below an image of 33 pixels."""
    model = distiller('second', 'FitNetLoss', foreground=True)
    data = padded_batch(model)
    edge, none = torch.tensor([[20.0, 32.4, 23.0, 33.0]]), torch.zeros(0, 4)
    for sample, boxes in zip(data['data_samples'], (none, edge)):
        sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.zeros(len(boxes)))
    losses = model(**copy.deepcopy(data), mode='loss')
    (transfer,) = model.transfers
    with torch.no_grad():
        student, teacher = (
            network.extract_feat(data['inputs'])[1]
            for network in (model.student, model.teacher.detector)
        )
        mask = torch.zeros(2, 1, 4, 6, dtype=torch.bool)
        mask[1, :, 1, 1] = True
        torch.testing.assert_close(losses[transfer.name], transfer.loss(student, teacher, mask))
    assert losses[transfer.name] > 0


@pytest.mark.parametrize(('loss', 'foreground'), [('NSTLoss', True), ('FGDLoss', False)])
def test_a_batch_without_boxes_is_refused_in_one_line(loss, foreground, padded_batch):
    model = distiller('relu', loss, foreground)
    data = padded_batch(model)
    for sample in data['data_samples']:
        del sample.gt_instances
    with pytest.raises(UserError, match='^loss_[a-z]*_relu needs the ground-truth boxes[^\n]*$'):
        model(**data, mode='loss')


def test_fgd_gets_the_boxes_in_positions_of_the_feature_map(padded_batch):
    model = distiller('relu', 'FGDLoss')
    data = padded_batch(model)
    (transfer,) = model.transfers
    received = []
    transfer.loss.register_forward_pre_hook(lambda module, inputs: received.append(inputs[3]))
    model(**data, mode='loss')
    assert [boxes.tolist() for boxes in received[0]] == [[[0.5, 0.5, 7.5, 7.5]]] * 2


@pytest.mark.parametrize('loss', LOSSES)
def test_a_teacher_sees_enlarged_images_and_its_feature_map_comes_back(loss, padded_batch):
    model = distiller('relu', loss, scale=1.5)
    data = padded_batch(model)
    losses = model(**copy.deepcopy(data), mode='loss')
    (transfer,) = model.transfers
    images, mask = data['inputs'], torch.zeros(2, 1, 16, 24, dtype=torch.bool)
    mask[0], mask[1, :, :8, :14] = True, True
    with torch.no_grad():
        (student, _) = model.student.extract_feat(images)
        enlarged = torch.zeros(2, 3, 96, 144)
        maps = []
        for i, (height, width) in enumerate([(64, 96), (33, 56)]):
            size = round(height * 1.5), round(width * 1.5)
            enlarged[i, :, : size[0], : size[1]] = nn.functional.interpolate(
                images[i : i + 1, :, :height, :width], size, mode='bilinear'
            )[0]
        (teacher, _) = model.teacher.detector.extract_feat(enlarged)
        assert teacher.shape[2:] == (24, 36)
        # Each position of the student lies at 1.5 times its place among those of the teacher. Of
        # the second image, 12 rows and 21 columns of the teacher's lie inside.
        for i, (height, width) in enumerate([(24, 36), (12, 21)]):
            inside = teacher[i : i + 1, :, :height, :width]
            size = (16, 24) if i == 0 else (8, 14)
            small = nn.functional.interpolate(inside, size, mode='bilinear', align_corners=False)
            maps.append(nn.functional.pad(small, (0, 24 - size[1], 0, 16 - size[0])))
        expected = transfer.loss(student, torch.cat(maps), mask)
    torch.testing.assert_close(losses[transfer.name], expected, rtol=1e-4, atol=0)
    plain = distiller('relu', loss)
    other = plain(**data, mode='loss')[transfer.name]
    assert not torch.isclose(losses[transfer.name], other)
