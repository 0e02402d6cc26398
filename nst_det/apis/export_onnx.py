"""The complete prediction of a detector, from the image to boxes after NMS, as an ONNX graph."""

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
import torch
from mmcv.ops import RoIAlign
from mmdet.structures import DetDataSample
from torch import Tensor, nn

from nst_det.compat.mmcv_ops import nms
from nst_det.datasets.transforms import LoadVerifiedImage
from nst_det.errors import UserError, one_line, refuse_existing
from nst_det.fileio.atomic import write_atomically
from nst_det.models.distillers.taps.dummy_batch import image_channels, padded_shape

OPSET = 17  # has RoIAlign with half-pixel coordinates
OUTPUTS = ['boxes', 'scores', 'labels']
NEEDED = ('onnx', 'onnxruntime')
TOLERANCE = 0.05  # in pixels for the side of a box; also for a score


def check_onnx(out: Path) -> None:
    """Check that an ONNX file can be written, before any other work.

    Args:
        out (Path): The file to write.

    Raises:
        UserError: If a package is missing, the name has another ending, or the file exists.
    """
    missing = [name for name in NEEDED if not find_spec(name)]
    if missing:
        raise UserError(f"--onnx needs {' and '.join(missing)}: pip install 'nst_det[onnx]'")
    if out.suffix != '.onnx':
        raise UserError(f'--onnx is {out}, expected the name of a .onnx file')
    refuse_existing(out)


def read_image(detector: nn.Module, shape: Sequence[int], path: str | None = None) -> Tensor:
    """Read or make an image of the size for which the graph of a detector is made.

    Args:
        detector (nn.Module): The detector.
        shape (Sequence[int]): H and W, which are rounded up so that the detector adds no padding.
        path (str, optional): The image file, which is scaled to that size. Defaults to None: random
            pixels.

    Returns:
        Tensor: The image, `(C, H, W)`, from 0 to 255; with three channels it is BGR.

    Raises:
        UserError: If the file is no image.
    """
    height, width = padded_shape(shape, detector)
    channels = image_channels(detector)
    if path is None:
        generator = torch.Generator().manual_seed(0)
        return torch.randint(0, 256, (channels, height, width), generator=generator).float()
    load = LoadVerifiedImage(color_type={1: 'grayscale', 3: 'color'}.get(channels, 'unchanged'))
    pixels = mmcv.imresize(load.transform(dict(img_path=path))['img'], (width, height))
    return torch.from_numpy(np.atleast_3d(pixels)).permute(2, 0, 1).float()


@torch.no_grad()
def write_onnx(detector: nn.Module, image: Tensor, out: Path) -> float:
    """Write a detector as a graph of standard ONNX operators, and run the graph to check it.

    Its input is ``image``, `(1, 3, H, W)`, float32, BGR from 0 to 255, always of this size. Its
    outputs are ``boxes`` `(n, 4)` in pixels of that image, ``scores`` `(n,)` and ``labels`` `(n,)`.

    The graph records the operations of the detector on one image, so the detector must detect
    something on it. The graph is compared with the detector on this image and on its mirror image.

    Args:
        detector (nn.Module): The detector, in evaluation mode, on the CPU.
        image (Tensor): The image, `(3, H, W)`, BGR from 0 to 255, of a size that needs no padding.
        out (Path): The file, which may not exist yet.

    Returns:
        float: The largest difference between graph and detector, in a side of a box or a score.

    Raises:
        UserError: If it cannot be exported, or the graph detects something else.
    """
    check_onnx(out)
    name = type(detector).__name__
    prediction = _Prediction(detector)
    images = image.float()[None]
    if not len(prediction(images)[1]):
        raise UserError(
            f'{name} detects nothing on this image, and the graph needs an image with a detection: '
            'give such an image by --image'
        )
    buffer = io.BytesIO()
    try:
        with _standard_operators(detector), warnings.catch_warnings():
            warnings.simplefilter(
                'ignore'
            )  # about every number that becomes a constant of the graph
            traced = torch.jit.trace(prediction, images, check_trace=False)
            torch.onnx.export(
                traced,
                (images,),
                buffer,
                opset_version=OPSET,
                dynamo=False,  # the newer exporter fails on mmdet's heads
                input_names=['image'],
                output_names=OUTPUTS,
                dynamic_axes={output: {0: 'detections'} for output in OUTPUTS},
            )
        difference = max(
            _check(prediction, buffer.getvalue(), batch) for batch in (images, images.flip(3))
        )
    except UserError:
        raise
    except Exception as error:  # the exporter may raise anything
        raise UserError(
            f'{name} cannot be exported to ONNX, its checkpoint can: {one_line(error):.300}'
        ) from error
    write_atomically(out, buffer.getvalue())
    return difference


class _Prediction(nn.Module):
    """Turns an image into boxes, scores and labels, with the preprocessing of the detector."""

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Detect on one image, `(1, 3, H, W)`."""
        size = tuple(int(side) for side in images.shape[2:])
        sample = DetDataSample(
            metainfo=dict(img_id=0, img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0))
        )
        data = dict(inputs=[images[0]], data_samples=[sample])
        batch = self.detector.data_preprocessor(data, False)
        found = self.detector.predict(batch['inputs'], batch['data_samples'], rescale=False)[0]
        instances = found.pred_instances
        return instances.bboxes, instances.scores, instances.labels


def largest_difference(given: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> float:
    """Compare two lists of detections, each detection with the nearest of its class.

    Args:
        given (Sequence[np.ndarray]): Boxes `(n, 4)`, scores `(n,)` and labels `(n,)`.
        expected (Sequence[np.ndarray]): Likewise, the detections to compare with.

    Returns:
        float: The largest difference of a side or a score; infinite if the numbers of detections
        differ.
    """
    rows, expected_rows = (
        np.column_stack([boxes, scores, 1e6 * labels])
        for boxes, scores, labels in (given, expected)
    )
    if len(rows) != len(expected_rows):
        return np.inf
    if not len(rows):
        return 0.0
    # Every pair is compared, because the order of nearly equal scores may differ.
    distances = np.abs(rows[:, None] - expected_rows).max(axis=2)
    return float(max(distances.min(axis=0).max(), distances.min(axis=1).max()))


def _check(prediction: _Prediction, graph: bytes, images: Tensor) -> float:
    """Compare the detections of graph and detector.

    Raises:
        UserError: If they differ by more than the tolerance.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=['CPUExecutionProvider'])
    expected = [tensor.numpy() for tensor in prediction(images)]
    given = session.run(None, {'image': images.numpy()})
    difference = largest_difference(given, expected)
    if difference > TOLERANCE:
        raise UserError(
            f'the ONNX graph detects {len(given[1])} objects, the detector {len(expected[1])}, and '
            'they differ: not written. A detector that was hardly trained has many equal scores, '
            'and rounding changes its detections'
        )
    return difference


@contextmanager
def _standard_operators(detector: nn.Module) -> Iterator[None]:
    """Let a detector run on operations that ONNX has, on a batch of one image."""
    split = Tensor.split

    def split_by_image(
        tensor: Tensor, sizes: int | Sequence[int], dim: int = 0
    ) -> tuple[Tensor, ...]:
        # The one image has all proposals; their number would become a constant of the graph.
        if not isinstance(sizes, int) and len(sizes) == 1:
            return (tensor,)
        return split(tensor, sizes, dim)

    changes: list[tuple[Any, str, Any]] = [
        (import_module('mmcv._ext'), 'nms', nms),
        (Tensor, 'split', split_by_image),
    ]
    for module in detector.modules():
        if isinstance(module, RoIAlign):
            changes.append((module, 'use_torchvision', True))
    before = [getattr(owner, name) for owner, name, _ in changes]
    try:
        for owner, name, value in changes:
            setattr(owner, name, value)
        yield
    finally:
        for (owner, name, _), value in zip(changes, before):
            setattr(owner, name, value)
