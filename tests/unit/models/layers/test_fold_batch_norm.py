"""Batch norms in the convolutions before them."""

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from torch import nn

from nst_det.apis.export_student import load_student
from nst_det.config.plain import plain_config
from nst_det.models.layers.fold_batch_norm import fuse_batch_norms


class Detector(nn.Module):
    """What a fusion needs of a detector, around a body."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.data_preprocessor = MODELS.build(dict(type='DetDataPreprocessor'))

    def forward(self, inputs: torch.Tensor, data_samples: list[DetDataSample], mode: str):
        return self.body(inputs)


class Branching(nn.Module):
    """A convolution that a batch norm and an addition read."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

    def forward(self, images):
        mapped = self.conv(images)
        return self.norm(mapped) + mapped


class Shared(nn.Module):
    """A convolution that two batch norms read."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(4), nn.BatchNorm2d(4)])

    def forward(self, images):
        return sum(norm(self.conv(images)) for norm in self.norms)


def body_of(*modules):
    body = nn.Sequential(*modules)
    torch.manual_seed(0)
    for module in body.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.1, 3)
            for parameter in module.parameters():
                nn.init.normal_(parameter)
    return body.eval()


@pytest.mark.parametrize(
    ('modules', 'fused'),
    [
        ([nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True)], (1, 1)),
        ([nn.Conv2d(3, 6, 3, groups=3, bias=False), nn.BatchNorm2d(6)], (1, 1)),
        ([nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.BatchNorm2d(4)], (1, 2)),
        ([nn.BatchNorm2d(3), nn.Conv2d(3, 4, 1)], (0, 1)),
        ([nn.Conv2d(3, 4, 1), nn.ReLU(), nn.BatchNorm2d(4)], (0, 1)),
        ([nn.ConvTranspose2d(3, 4, 2), nn.BatchNorm2d(4)], (0, 1)),
        ([nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, affine=False)], (0, 1)),
        ([Branching()], (0, 1)),
        ([Shared()], (0, 2)),
    ],
)
def test_what_can_be_fused_is_and_the_result_stays(modules, fused):
    body = body_of(*modules)
    images = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        expected = body(images)
        assert fuse_batch_norms(Detector(body)) == fused
        torch.testing.assert_close(body(images), expected, rtol=1e-5, atol=1e-5)


def test_a_fused_batch_norm_scales_by_one():
    convolution, norm = body_of(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4, eps=0.1))
    fuse_batch_norms(Detector(nn.Sequential(convolution, norm)))
    images = torch.randn(1, 4, 5, 5)
    shift = norm.bias[:, None, None]
    torch.testing.assert_close(norm(images) - shift, images, rtol=1e-5, atol=1e-6)


def test_all_of_a_faster_rcnn_on_inception_bn_is_fused(distilled):
    cfg, checkpoint = distilled()
    student, _ = load_student(plain_config(cfg), checkpoint)
    keys = {key: value.shape for key, value in student.state_dict().items()}
    assert fuse_batch_norms(student) == (69, 69)
    assert {key: value.shape for key, value in student.state_dict().items()} == keys
