"""Prediction of DETR, Deformable DETR and DINO, for a batch."""

from collections.abc import Sequence
from functools import partial
from math import inf

import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from torch import Tensor, nn

from nst_det.errors import UserError
from nst_det.export.operators import Detections, clip, size, take


class TransformerPrediction(nn.Module):
    """The best queries of each image; nothing is suppressed.

    Args:
        detector (nn.Module): The detector.

    Raises:
        UserError: If it pads images, which its transformer would have to mask.
    """

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector
        divisor = detector.data_preprocessor.pad_size_divisor
        if divisor > 1:
            raise UserError(
                f'its data_preprocessor pads images to multiples of {divisor}, and the graph of a '
                'transformer has no mask for the padding: set pad_size_divisor=1'
            )
        rewrite_reference_points(detector)

    def forward(self, features: Sequence[Tensor], height: Tensor, width: Tensor) -> Detections:
        """Detect in a batch, see `DensePrediction.forward`."""
        head = self.detector.bbox_head
        info = dict(img_shape=(height, width), batch_input_shape=(height, width))
        sample = DetDataSample(metainfo=info)
        inputs = self.detector.forward_transformer(features, [sample])
        logits, boxes = (outputs[-1] for outputs in head(**inputs)[:2])
        most = head.test_cfg.get('max_per_img', boxes.shape[1])
        if head.loss_cls.use_sigmoid:
            scores, index = logits.sigmoid().flatten(1).topk(most, 1)
            labels = index % head.num_classes
            query = torch.div(index, head.num_classes, rounding_mode='floor')
        else:
            best, classes = logits.softmax(-1)[..., :-1].max(-1)
            scores, query = best.topk(most, 1)
            labels = classes.gather(1, query)
        centre, sides = take(boxes, query).split(2, -1)
        corners = torch.cat([centre - sides / 2, centre + sides / 2], -1)
        scale = torch.stack([width, height, width, height]).to(corners.dtype)
        corners = clip(corners * scale, width, height)
        images = torch.arange(size(scores, 0))[:, None].expand_as(scores)
        return Detections(*(x.flatten(0, 1) for x in (corners, scores, labels, images)))


def rewrite_reference_points(detector: nn.Module) -> None:
    """Have a detector with deformable attention compute its grids without ``linspace``.

    The exporter divides by the number of steps minus one, which is 0 on a feature map of one row.

    Args:
        detector (nn.Module): The detector; it is changed.
    """
    encoder = detector.encoder
    if hasattr(encoder, 'get_encoder_reference_points'):
        encoder.get_encoder_reference_points = _reference_points
    if hasattr(detector, 'gen_encoder_output_proposals'):
        detector.gen_encoder_output_proposals = partial(_encoder_proposals, detector)


def _centres(shape: Tensor) -> Tensor:
    """The centre of each position of a feature map, x and y from 0 to 1, `(h · w, 2)`."""
    height, width = shape[0], shape[1]
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing='ij')
    return torch.stack([x.reshape(-1) / width, y.reshape(-1) / height], -1)


def _reference_points(shapes: Tensor, valid_ratios: Tensor, device: object) -> Tensor:
    """As ``get_encoder_reference_points`` of the encoder, for images without padding."""
    points = torch.cat([_centres(shapes[level]) for level in range(valid_ratios.shape[1])])
    return points[None, :, None] * valid_ratios[:, None]


def _encoder_proposals(
    detector: nn.Module, memory: Tensor, memory_mask: None, spatial_shapes: Tensor
) -> tuple[Tensor, Tensor]:
    """As ``gen_encoder_output_proposals`` of the detector, for images without padding."""
    proposals = []
    for level in range(detector.num_feature_levels):
        centres = _centres(spatial_shapes[level])
        sides = torch.full_like(centres, 0.05 * 2.0**level)
        proposals.append(torch.cat([centres, sides], -1))
    boxes = torch.cat(proposals)[None]
    inside = ((boxes > 0.01) & (boxes < 0.99)).all(-1, keepdim=True)
    logits = torch.log(boxes / (1 - boxes)).masked_fill(~inside, inf)
    memory = detector.memory_trans_fc(memory.masked_fill(~inside, 0.0))
    return detector.memory_trans_norm(memory), logits.expand(size(memory, 0), -1, -1)


def deformable_attention(
    value: Tensor, shapes: Tensor, locations: Tensor, weights: Tensor
) -> Tensor:
    """Multi-scale deformable attention, with feature maps whose sizes are tensors.

    Args:
        value (Tensor): `(N, S, heads, C)`, the positions of all levels.
        shapes (Tensor): `(levels, 2)`, height and width of each level.
        locations (Tensor): `(N, queries, heads, levels, points, 2)`, x and y from 0 to 1.
        weights (Tensor): `(N, queries, heads, levels, points)`.

    Returns:
        Tensor: `(N, queries, heads · C)`.
    """
    heads, channels = value.shape[2:]
    levels = locations.shape[3]
    grids = 2 * locations - 1
    sampled = []
    start = torch.tensor(0)
    for level in range(levels):
        height, width = shapes[level, 0], shapes[level, 1]
        end = start + height * width
        own = value[:, start:end].flatten(2).transpose(1, 2)
        own = own.reshape(-1, channels, height, width)
        grid = grids[:, :, :, level].transpose(1, 2).flatten(0, 1)
        sampled.append(F.grid_sample(own, grid, align_corners=False))
        start = end
    stacked = torch.stack(sampled, -2).flatten(-2)  # (N · heads, C, queries, levels · points)
    weights = weights.transpose(1, 2).flatten(0, 1).flatten(2)[:, None]
    out = (stacked * weights).sum(-1)
    return out.reshape(size(value, 0), heads * channels, -1).transpose(1, 2)
