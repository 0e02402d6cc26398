"""A transfer between two feature maps, inside a distiller."""

import copy

import pytest
import torch
from mmdet.models.detectors.base import BaseDetector
from mmdet.registry import MODELS
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


def distiller(layers, loss='NSTLoss', **options):
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
            teacher=dict(config=dict(detector, channels=6), checkpoint='random'),
            transfers=[dict(**taps, loss=dict(type=loss))],
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
