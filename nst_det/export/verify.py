"""Verifying a graph: its detections beside those of the detector, in images of several kinds."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from terminaltables import AsciiTable
from torch import Tensor, nn
from tqdm import tqdm

from nst_det.export.compare import Comparison, Found, Limits, compare
from nst_det.runtime.masks import object_masks
from nst_det.runtime.model_info import ModelInfo
from nst_det.runtime.session import Session

GREY = 127.0
NOISE_SHAPES = ((161, 223), (256, 192))  # neither is what the graph was recorded with


@dataclass(frozen=True)
class Batch:
    """Images to verify a graph with.

    Args:
        kind (str): What they are, for the table.
        images (Tensor): `(N, C, H, W)`, float32, BGR from 0 to 255.
    """

    kind: str
    images: Tensor


@dataclass(frozen=True)
class Verification:
    """How a graph differs from its detector.

    Args:
        kinds (dict[str, Comparison]): By kind of image.
    """

    kinds: dict[str, Comparison]

    @property
    def differs(self) -> bool:
        """bool: Whether anything differs that equal scores do not explain."""
        return any(found.wrong for found in self.kinds.values())

    @property
    def problem(self) -> str:
        """str: The first difference, in words; empty if there is none."""
        wrong = [f'{kind}: {text}' for kind, c in self.kinds.items() for text in c.wrong]
        return f'{wrong[0]} ({len(wrong)} in all)' if wrong else ''

    @property
    def verdict(self) -> str:
        """str: ``'equal'``, ``'equal but for ties'`` or ``'differs'``."""
        found = Comparison()
        for comparison in self.kinds.values():
            found.add(comparison)
        return found.verdict

    def table(self) -> str:
        """Make a table of it.

        Returns:
            str: A row for each kind of image.
        """
        rows = [['images', 'detector', 'graph', 'pairs', 'ties', 'box, px', 'score', 'masks', '']]
        for kind, found in self.kinds.items():
            numbers = (found.expected, found.given, found.matched, found.ties)
            largest = (f'{value:.1g}' for value in (found.box, found.score, found.mask))
            rows.append([kind, *map(str, numbers), *largest, found.verdict])
        table = AsciiTable(rows)
        table.justify_columns = dict.fromkeys(range(1, 8), 'right')
        return table.table


def made_images(info: ModelInfo) -> list[Batch]:
    """Make the images that every graph is verified with.

    Args:
        info (ModelInfo): The description of the model.

    Returns:
        list[Batch]: An empty grey image, noise of two sizes, and a batch of two.
    """
    generator = torch.Generator().manual_seed(1)

    def noise(count: int, shape: Sequence[int]) -> Tensor:
        sides = (-(-side // info.multiple) * info.multiple for side in shape)
        # Coarse and fine, so that objects of all sizes may be seen in it.
        size = tuple(sides)
        coarse = torch.rand(count, info.channels, 6, 8, generator=generator)
        fine = torch.rand(count, info.channels, *size, generator=generator)
        return 255 * (0.6 * nn.functional.interpolate(coarse, size, mode='bilinear') + 0.4 * fine)

    first, second = NOISE_SHAPES
    return [
        Batch('an empty grey image', torch.full_like(noise(1, first), GREY)),
        *(Batch(f'noise, {h} x {w}', noise(1, (h, w))) for h, w in (first, second)),
        Batch('noise, a batch of 2', noise(2, first)),
    ]


def verify(
    detector: nn.Module,
    session: Session,
    batches: Sequence[Batch],
    limits: Limits,
) -> Verification:
    """Compare the detections of a graph with those of its detector.

    Args:
        detector (nn.Module): The detector, in evaluation mode, on the CPU.
        session (Session): The graph.
        batches (Sequence[Batch]): The images.
        limits (Limits): The limits of the detector.

    Returns:
        Verification: The result.
    """
    kinds: dict[str, Comparison] = {}
    for batch in tqdm(batches, 'verifying', leave=False):
        expected = predict(detector, batch.images)
        given = run(session, batch.images)
        for one, other in zip(expected, given):
            kinds.setdefault(batch.kind, Comparison()).add(compare(one, other, limits))
    return Verification(kinds)


@torch.no_grad()
def predict(detector: nn.Module, images: Tensor) -> list[Found]:
    """Detect with the detector itself.

    Args:
        detector (nn.Module): The detector.
        images (Tensor): `(N, C, H, W)`, float32, BGR from 0 to 255.

    Returns:
        list[Found]: The detections of each image, in pixels of these images.
    """
    size = tuple(images.shape[2:])
    info = dict(img_id=0, img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0))
    samples = [DetDataSample(metainfo=dict(info)) for _ in images]
    data = detector.data_preprocessor(dict(inputs=list(images), data_samples=samples), False)
    found = detector.predict(data['inputs'], data['data_samples'], rescale=False)
    return [_found(sample.pred_instances, size) for sample in found]


def run(session: Session, images: Tensor) -> list[Found]:
    """Detect with a graph.

    Args:
        session (Session): The graph.
        images (Tensor): `(N, C, H, W)`, float32, BGR from 0 to 255.

    Returns:
        list[Found]: The detections of each image, in pixels of these images.
    """
    outputs = session.run(images.numpy())
    found = []
    for i in range(len(images)):
        own = outputs['image_index'] == i
        boxes, masks = outputs['boxes'][own], None
        if session.info.masks is not None:
            size = tuple(images.shape[2:])
            masks = object_masks(outputs['masks'][own], boxes, size, (1.0, 1.0), session.info)
        found.append(Found(boxes, outputs['scores'][own], outputs['labels'][own], masks))
    return found


def _found(instances: InstanceData, size: tuple[int, ...]) -> Found:
    masks = getattr(instances, 'masks', None)
    return Found(
        instances.bboxes.numpy(),
        instances.scores.numpy(),
        instances.labels.numpy(),
        None if masks is None else masks.numpy()[:, : size[0], : size[1]],
    )
