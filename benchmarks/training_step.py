"""One training step of a detector on random images, plain and distilled."""

from pathlib import Path

import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch import nn

from nst_det.config.load import load_config
from nst_det.engine.hooks.channels_last_hook import store_channels_last

CONFIG = (
    Path(__file__).resolve().parents[1]
    / 'configs/nst/nst_faster-rcnn_inception-bn-w0.5_efficientnet-lite2_320-10e_voc07.py'
)


def distiller(device: str, **options) -> nn.Module:
    """Build the distiller of VOC2007 at 320 pixels, its teacher untrained, which takes as long.

    Args:
        device (str): The device.
        **options: Further options of the teacher.
    """
    init_default_scope('mmdet')
    torch.manual_seed(0)
    cfg = load_config(str(CONFIG)).model
    cfg.teacher.update(checkpoint='random', **options)
    cfg.monitor_interval = 0
    model = MODELS.build(cfg)
    model.init_weights()
    store_channels_last(model.to(device))  # as the config does
    return model.train()


def batch(size: int, device: str, side: int = 320) -> dict:
    """Make random images with three objects each, as the ``forward`` of a detector takes them."""
    generator = torch.Generator().manual_seed(0)
    images = 100 * torch.randn((size, 3, side, side), generator=generator)
    samples = []
    for _ in range(size):
        shape = (side, side)
        info = dict(img_shape=shape, pad_shape=shape, batch_input_shape=shape, scale_factor=(1, 1))
        sample = DetDataSample(metainfo=info)
        corners = torch.rand((3, 2), generator=generator) * side / 2
        boxes = torch.cat([corners, corners + side / 3], dim=1)
        sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.tensor([0, 1, 2]))
        samples.append(sample.to(device))
    return dict(inputs=images.to(device), data_samples=samples)


def step(model: nn.Module, data: dict) -> None:
    """Run the forward and the backward pass of a training step."""
    torch.manual_seed(0)  # so that the same regions are sampled every time
    loss, _ = model.parse_losses(model(**data, mode='loss'))
    loss.backward()
    for parameter in model.parameters():
        parameter.grad = None
