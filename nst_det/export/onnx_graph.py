"""Recording the graph of a detector."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from inspect import signature
from typing import Any

import torch
from torch import nn

from nst_det.errors import UserError, one_line
from nst_det.export.detector_graph import DetectorGraph
from nst_det.export.transformer import deformable_attention
from nst_det.runtime.model_info import KEY, ModelInfo
from nst_det.version import __version__

OPSET = 17  # RoIAlign with half-pixel coordinates; ONNX Runtime has no RoIAlign of opset 22
INPUT = 'images'
OUTPUTS = ('boxes', 'scores', 'labels', 'image_index')
MASKS = 'masks'
EXAMPLE_SHAPE = (2, 96, 128)  # of the batch that is recorded: no size of it stays in the graph


@torch.no_grad()
def record_graph(detector: nn.Module) -> tuple[bytes, DetectorGraph]:
    """Record a detector as a graph of standard ONNX operators.

    Its input is ``images`` `(N, C, H, W)`, float32, BGR from 0 to 255, of any size and number. Its
    outputs are ``boxes`` `(n, 4)` in pixels of these images, ``scores``, ``labels`` and
    ``image_index`` `(n,)`, and from a detector with masks ``masks`` `(n, h, w)`.

    Args:
        detector (nn.Module): The detector, in evaluation mode.

    Returns:
        tuple[bytes, DetectorGraph]: The ONNX file, and the module that was recorded.

    Raises:
        UserError: If it cannot be exported: the error tells why.
    """
    name = type(detector).__name__
    try:
        module = DetectorGraph(detector)
    except UserError as error:
        raise UserError(f'{name} cannot be exported to ONNX: {error}') from error
    outputs = [*OUTPUTS, *([MASKS] if module.mask_kind else [])]
    generator = torch.Generator().manual_seed(0)
    count, height, width = EXAMPLE_SHAPE
    example = 255 * torch.rand(count, module.channels, height, width, generator=generator)
    axes = {INPUT: {0: 'batch', 2: 'height', 3: 'width'}}
    axes.update({output: {0: 'detections'} for output in outputs})
    if module.mask_kind:
        axes[MASKS].update({1: 'mask_height', 2: 'mask_width'})
    buffer = io.BytesIO()
    try:
        with _deformable_attention_in_tensors(), warnings.catch_warnings():
            warnings.simplefilter('ignore')  # about Python's branches, which are for one case each
            torch.onnx.export(
                module,
                (example,),
                buffer,
                opset_version=OPSET,
                **_older_exporter(),
                input_names=[INPUT],
                output_names=outputs,
                dynamic_axes=axes,
            )
    except Exception as error:  # the exporter may raise anything
        raise UserError(f'{name} cannot be exported to ONNX: {one_line(error):.300}') from error
    return buffer.getvalue(), module


def _older_exporter() -> dict[str, Any]:
    """Choose the exporter of torch, which has a newer one from 2.5 on.

    The newer one needs onnxscript, and fails on mmdet's heads.
    """
    return dict(dynamo=False) if 'dynamo' in signature(torch.onnx.export).parameters else {}


@contextmanager
def _deformable_attention_in_tensors() -> Iterator[None]:
    """Replace mmcv's function, which turns the sizes of feature maps into numbers."""
    module: Any = import_module('mmcv.ops.multi_scale_deform_attn')
    before = module.multi_scale_deformable_attn_pytorch
    module.multi_scale_deformable_attn_pytorch = deformable_attention
    try:
        yield
    finally:
        module.multi_scale_deformable_attn_pytorch = before


def with_info(graph: bytes, info: ModelInfo) -> bytes:
    """Write the description of a model into the metadata of its ONNX file.

    Args:
        graph (bytes): The ONNX file.
        info (ModelInfo): The description.

    Returns:
        bytes: The ONNX file with its description.
    """
    import onnx

    model = onnx.load_from_string(graph)
    onnx.helper.set_model_props(model, {KEY: info.to_json()})
    model.producer_name, model.producer_version = 'nst_det', __version__
    return model.SerializeToString()
