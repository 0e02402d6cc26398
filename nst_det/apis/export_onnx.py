"""A detector's whole prediction, from the image to the boxes after NMS, as an ONNX graph."""

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
from nst_det.errors import UserError, one_line
from nst_det.fileio.atomic import write_atomically
from nst_det.models.distillers.taps.dummy_batch import padded_shape

OPSET = 17  # has RoIAlign with half-pixel coordinates
OUTPUTS = ['boxes', 'scores', 'labels']
NEEDED = ('onnx', 'onnxruntime')
TOLERANCE = 0.05  # pixels of a box's side, or of a score


def check_onnx(out: Path) -> None:
    """Check that an ONNX file can be made, before anything else is.

    Args:
        out (Path): The file to write.

    Raises:
        UserError: Where a package is missing, or the file's name is another kind's or is taken.
    """
    missing = [name for name in NEEDED if not find_spec(name)]
    if missing:
        raise UserError(f"--onnx needs {' and '.join(missing)}: pip install 'nst_det[onnx]'")
    if out.suffix != '.onnx':
        raise UserError(f'--onnx is {out}, expected the name of a .onnx file')
    if out.exists():
        raise UserError(f'{out} exists already: remove it, or choose another name')


def read_image(detector: nn.Module, shape: Sequence[int], path: str | None = None) -> Tensor:
    """An image of the size that a detector's graph is made for.

    Args:
        detector (nn.Module): The detector.
        shape (Sequence[int]): H and W, which are rounded up to what the detector pads to.
        path (str, optional): The image file, which is scaled to that size. Defaults to None, noise.

    Returns:
        Tensor: The image, `(3, H, W)`, BGR from 0 to 255.

    Raises:
        UserError: Where the file is no image.
    """
    height, width = padded_shape(shape, detector)
    if path is None:
        generator = torch.Generator().manual_seed(0)
        return torch.randint(0, 256, (3, height, width), generator=generator).float()
    pixels = LoadVerifiedImage().transform(dict(img_path=path))['img']
    return torch.from_numpy(mmcv.imresize(pixels, (width, height))).permute(2, 0, 1).float()


@torch.no_grad()
def write_onnx(detector: nn.Module, image: Tensor, out: Path) -> float:
    """Write a detector as a graph of standard ONNX operators, and run it to see that it is right.

    Its input is ``image``, `(1, 3, H, W)`, float32, BGR from 0 to 255, of this one size; its
    outputs are ``boxes`` `(n, 4)` in pixels of that image, ``scores`` `(n,)` and ``labels`` `(n,)`.

    The graph is what the detector does with one image, so it must be one on which something is
    detected. It is compared with the detector on this image and on its mirror image.

    Args:
        detector (nn.Module): The detector, in evaluation mode, on the CPU.
        image (Tensor): The image, `(3, H, W)`, BGR from 0 to 255, of a size that needs no padding.
        out (Path): The file, which must not be there yet.

    Returns:
        float: The largest difference of a box's side or a score between graph and detector.

    Raises:
        UserError: Where it cannot be exported, or the graph detects something else.
    """
    check_onnx(out)
    name = type(detector).__name__
    prediction = _Prediction(detector)
    images = image.float()[None]
    if not len(prediction(images)[1]):
        raise UserError(
            f'{name} detects nothing on this image, and a graph can be made only of what happens '
            'where something is detected: give such an image by --image'
        )
    buffer = io.BytesIO()
    try:
        with _standard_operators(detector), warnings.catch_warnings():
            warnings.simplefilter('ignore')  # of every number that the graph takes for a constant
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
            _check(prediction, buffer.getvalue(), one) for one in (images, images.flip(3))
        )
    except UserError:
        raise
    except Exception as error:  # whatever the exporter may raise
        raise UserError(
            f'{name} cannot be exported to ONNX, its checkpoint can: {one_line(error):.300}'
        ) from error
    write_atomically(out, buffer.getvalue())
    return difference


class _Prediction(nn.Module):
    """Images to boxes, scores and labels, with the detector's own preprocessing."""

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
    """How far two lists of detections are apart, each detection from the nearest of its class.

    Args:
        given (Sequence[np.ndarray]): Boxes `(n, 4)`, scores `(n,)` and labels `(n,)`.
        expected (Sequence[np.ndarray]): The same of the other.

    Returns:
        float: Of a side or a score; infinite where there are not as many.
    """
    one, other = (
        np.column_stack([boxes, scores, 1e6 * labels])
        for boxes, scores, labels in (given, expected)
    )
    if len(one) != len(other):
        return np.inf
    if not len(one):
        return 0.0
    apart = np.abs(one[:, None] - other).max(axis=2)  # the order of nearly equal scores may differ
    return float(max(apart.min(axis=0).max(), apart.min(axis=1).max()))


def _check(prediction: _Prediction, graph: bytes, images: Tensor) -> float:
    """Compare the detections of graph and detector.

    Raises:
        UserError: Where they are not the same.
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
            f'the ONNX graph does not detect what the detector does ({len(given[1])} objects, and '
            f'{len(expected[1])}): not written. A detector that was hardly trained, many of whose '
            'scores are equal, is too sensitive to rounding'
        )
    return difference


@contextmanager
def _standard_operators(detector: nn.Module) -> Iterator[None]:
    """Have a detector run on what ONNX has an operator for, and take one image for granted."""
    split = Tensor.split

    def split_by_image(
        tensor: Tensor, sizes: int | Sequence[int], dim: int = 0
    ) -> tuple[Tensor, ...]:
        # All proposals are the one image's; their number would become a constant of the graph.
        whole = not isinstance(sizes, int) and len(sizes) == 1
        return (tensor,) if whole else split(tensor, sizes, dim)

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
