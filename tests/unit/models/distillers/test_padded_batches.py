"""Padding does not change a loss, and teacher and student may have other paddings and strides."""

import pytest
import torch
from mmdet.models.detectors.base import BaseDetector
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from torch import nn

KERNELS = ['LinearKernel', 'PolynomialKernel', 'GaussianKernel']
SIZES = [(64, 96), (96, 32), (32, 64)]  # multiples of every stride


@MODELS.register_module(force=True)
class PatchDetector(BaseDetector):
    """A detector in which each position depends on its own stride × stride pixels only."""

    def __init__(self, channels, stride, data_preprocessor=None):
        super().__init__(data_preprocessor=data_preprocessor)
        self.patches = nn.Conv2d(3, channels, stride, stride)
        self.tokens = Tokens()

    def extract_feat(self, images):
        return self.tokens(self.patches(images))

    def loss(self, images, samples):
        return dict(loss_detection=self.extract_feat(images).square().mean())

    def predict(self, images, samples):
        return samples

    def _forward(self, images, samples=None):
        return self.extract_feat(images)


class Tokens(nn.Module):
    """A module that turns `(N, C, H, W)` into a transformer's sequence `(N, L, C)`."""

    def forward(self, features):
        return features.flatten(2).mT


def distiller(
    kernel='PolynomialKernel', student=16, teacher=16, divisor=1, layer='patches', **options
):
    torch.manual_seed(0)
    colours = dict(type='DetDataPreprocessor', mean=[110.0] * 3, std=[60.0] * 3)
    loss = dict(type='NSTLoss', kernel=dict(type=kernel))
    model = MODELS.build(
        dict(
            type='NSTDistiller',
            student=dict(
                type='PatchDetector',
                channels=6,
                stride=student,
                data_preprocessor=dict(colours, pad_size_divisor=32),
            ),
            teacher=dict(
                config=dict(
                    type='PatchDetector',
                    channels=9,
                    stride=teacher,
                    data_preprocessor=dict(
                        colours, std=[50.0] * 3, bgr_to_rgb=True, pad_size_divisor=divisor
                    ),
                ),
                checkpoint='random',
            ),
            transfers=[dict(layer=layer, loss=loss)],
            **options,
        )
    )
    model.init_weights()
    return model


def images(*sizes):
    generator = torch.Generator().manual_seed(1)
    pictures = {
        size: torch.randint(0, 256, (3, *size), generator=generator, dtype=torch.uint8)
        for size in SIZES
    }
    return [pictures[size] for size in sizes]


def losses(model, *sizes):
    samples = [DetDataSample(metainfo=dict(img_shape=size)) for size in sizes]
    data = model.data_preprocessor(dict(inputs=images(*sizes), data_samples=samples), True)
    return model(**data, mode='loss')


def nst(model, *sizes):
    return losses(model, *sizes)[model.transfers[0].name]


@pytest.mark.parametrize('kernel', KERNELS)
@pytest.mark.parametrize(('student', 'teacher'), [(16, 16), (16, 8), (8, 16), (32, 4)])
@pytest.mark.parametrize('divisor', [32, 128])
def test_the_loss_of_a_padded_batch_is_the_mean_of_its_images_alone(
    kernel, student, teacher, divisor
):
    model = distiller(kernel, student, teacher, divisor)
    together = nst(model, *SIZES)
    alone = torch.stack([nst(model, size) for size in SIZES])
    assert alone.std() > 0
    torch.testing.assert_close(together, alone.mean(), rtol=1e-5, atol=1e-5)


def test_the_gradient_of_a_padded_batch_is_the_mean_of_its_images_alone():
    model = distiller(student=16, teacher=8)
    nst(model, *SIZES).backward()
    together = model.patches.weight.grad.clone()
    model.zero_grad()
    sum(nst(model, size) for size in SIZES).backward()
    torch.testing.assert_close(together, model.patches.weight.grad / 3, rtol=1e-4, atol=1e-6)


def test_padding_counts_with_ignore_padding_false():
    padding_counts = nst(distiller(ignore_padding=False), *SIZES)
    assert not torch.isclose(padding_counts, nst(distiller(), *SIZES), rtol=1e-4)


def test_a_batch_without_padding_has_no_mask():
    masks = []
    for ignore_padding in (True, False):
        model = distiller(ignore_padding=ignore_padding)
        model.transfers[0].loss.register_forward_pre_hook(lambda m, args: masks.append(args[2]))
        nst(model, SIZES[0], SIZES[0])
    assert masks == [None, None]


def test_a_transformers_sequence_is_compared_as_a_feature_map():
    expected = nst(distiller(student=16, teacher=8, divisor=128), *SIZES)
    model = distiller(student=16, teacher=8, divisor=128, layer='tokens')
    torch.testing.assert_close(nst(model, *SIZES), expected)
