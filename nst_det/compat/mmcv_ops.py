"""A stand-in for ``mmcv._ext``, the compiled ops of mmcv, made of ops of torchvision.

The problem: ``import mmdet.models`` imports ``mmcv.ops``, which needs the compiled module
``mmcv._ext``. mmcv 2.x has no wheel for any current torch, and mmcv-lite, which installs
everywhere, comes without the module.

The answer: a finder at the very end of ``sys.meta_path`` supplies ``mmcv._ext`` if no other finder
does, so that compiled ops are always preferred. It supplies the ops that the common detectors call.
Any other op can be imported, and raises :class:`NotImplementedError` when it is called. ``nms`` and
the average RoIAlign (forward and backward) are bit-identical to the compiled CPU ops of mmcv 2.1.0.

It can go when mmcv has wheels for current torch again, or when mmdet calls torchvision itself.

The functions below have mmcv's signatures (``mmcv/ops/csrc/pytorch/pybind.cpp``): most of them
write into tensors that the caller allocated.
"""

import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from typing import Any

import torch
import torchvision
from torch import Tensor

_torchvision = torch.ops.torchvision


def _at_least_float32(*tensors: Tensor) -> list[Tensor]:
    """Widen half types: torchvision's kernels lack bfloat16, and on CPU they round every step."""
    halves = (torch.float16, torch.bfloat16)
    return [tensor.float() if tensor.dtype in halves else tensor for tensor in tensors]


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    # mmcv sorts equal scores with an unstable sort. torchvision's sort is stable: given the ranks
    # as scores, it keeps the order of mmcv.
    order = scores.sort(dim=0, descending=True).indices
    ranks = torch.arange(order.shape[0], 0, -1, dtype=torch.float32, device=boxes.device)
    boxes = boxes.index_select(0, order).float()
    boxes[:, 2:] += offset
    threshold = torch.tensor(iou_threshold, dtype=torch.float32).item()  # a C float in mmcv
    return order[torchvision.ops.nms(boxes, ranks, threshold)]


def roi_align_forward(
    features: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    if pool_mode == 0:
        raise NotImplementedError(_needs_full_mmcv("roi_align_forward with pool_mode='max'"))
    features, rois = _at_least_float32(features, rois)
    size = aligned_height, aligned_width
    output.copy_(
        _torchvision.roi_align(features, rois, spatial_scale, *size, sampling_ratio, aligned)
    )


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_features: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    grad_output, rois = _at_least_float32(grad_output, rois)
    sizes = aligned_height, aligned_width, *grad_features.shape
    grad_features.copy_(
        _torchvision._roi_align_backward(
            grad_output, rois, spatial_scale, *sizes, sampling_ratio, aligned
        )
    )


def _deform_conv_geometry(
    *, dH, dW, padH, padW, dilationH, dilationW, group, deformable_group, **unused
) -> tuple[int, ...]:
    return dH, dW, padH, padW, dilationH, dilationW, group, deformable_group


def _deform_conv_tensors(features: Tensor, weight: Tensor, offset: Tensor) -> list[Tensor]:
    """The arguments of torchvision's op for a deformable convolution without mask and bias."""
    no_mask, no_bias = features.new_zeros(len(features), 1), features.new_zeros(len(weight))
    return _at_least_float32(features, weight, offset, no_mask, no_bias)


def deform_conv_forward(
    features: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    **geometry: int,
) -> None:
    tensors = _deform_conv_tensors(features, weight, offset)
    output.copy_(_torchvision.deform_conv2d(*tensors, *_deform_conv_geometry(**geometry), False))


def _deform_conv_gradients(grad_output, features, weight, offset, geometry):
    grad_output, *tensors = _at_least_float32(
        grad_output, *_deform_conv_tensors(features, weight, offset)
    )
    return _torchvision._deform_conv2d_backward(
        grad_output, *tensors, *_deform_conv_geometry(**geometry), False
    )


def deform_conv_backward_input(
    features: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_features: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    columns: Tensor,
    **geometry: int,
) -> None:
    gradients = _deform_conv_gradients(grad_output, features, weight, offset, geometry)
    grad_features.copy_(gradients[0])
    grad_offset.copy_(gradients[2])


def deform_conv_backward_parameters(
    features: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    columns: Tensor,
    ones: Tensor,
    scale: float,
    **geometry: int,
) -> None:
    # mmcv does not pass the weight. Its gradient depends only on its shape.
    gradients = _deform_conv_gradients(grad_output, features, grad_weight, offset, geometry)
    grad_weight.copy_(gradients[1] * scale)


def _modulated_deform_conv_arguments(
    features: Tensor,
    weight: Tensor,
    bias: Tensor,
    offset: Tensor,
    mask: Tensor,
    *,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
    **unused: int,
) -> list:
    if not with_bias:
        bias = features.new_zeros(len(weight))
    return [
        *_at_least_float32(features, weight, offset, mask, bias),
        *(stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group),
        True,
    ]


def modulated_deform_conv_forward(
    features: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    **geometry: Any,
) -> None:
    arguments = _modulated_deform_conv_arguments(features, weight, bias, offset, mask, **geometry)
    output.copy_(_torchvision.deform_conv2d(*arguments))


def modulated_deform_conv_backward(
    features: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_features: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    **geometry: Any,
) -> None:
    arguments = _modulated_deform_conv_arguments(features, weight, bias, offset, mask, **geometry)
    gradients = _torchvision._deform_conv2d_backward(*_at_least_float32(grad_output), *arguments)
    targets = grad_features, grad_weight, grad_offset, grad_mask, grad_bias
    for target, gradient in zip(targets, gradients):
        if target.numel():  # without a bias, mmcv passes an empty gradient for it
            target.copy_(gradient)


def _sigmoid_focal_loss(
    logits: Tensor, target: Tensor, weight: Tensor, gamma: float, alpha: float
) -> Tensor:
    if weight.numel():
        raise NotImplementedError(_needs_full_mmcv('sigmoid_focal_loss with class weights'))
    classes = torch.arange(logits.size(1), device=logits.device)
    one_hot = (target[:, None] == classes).to(logits.dtype)  # the background has no class
    return torchvision.ops.sigmoid_focal_loss(logits, one_hot, alpha, gamma)


def sigmoid_focal_loss_forward(
    logits: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    output.copy_(_sigmoid_focal_loss(logits, target, weight, gamma, alpha))


def sigmoid_focal_loss_backward(
    logits: Tensor,
    target: Tensor,
    weight: Tensor,
    grad_logits: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    with torch.enable_grad():
        logits = logits.detach().requires_grad_()
        loss = _sigmoid_focal_loss(logits, target, weight, gamma, alpha).sum()
    grad_logits.copy_(torch.autograd.grad(loss, logits)[0])


def _deformable_attention(
    value: Tensor, spatial_shapes: Tensor, locations: Tensor, weights: Tensor
) -> Tensor:
    """The pure-torch version of mmcv, which it uses on CPU."""
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

    return multi_scale_deformable_attn_pytorch(value, spatial_shapes.tolist(), locations, weights)


def ms_deform_attn_forward(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    locations: Tensor,
    weights: Tensor,
    im2col_step: int,
) -> Tensor:
    return _deformable_attention(value, spatial_shapes, locations, weights).to(value.dtype)


def ms_deform_attn_backward(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    locations: Tensor,
    weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_locations: Tensor,
    grad_weights: Tensor,
    im2col_step: int,
) -> None:
    with torch.enable_grad():
        inputs = [tensor.detach().requires_grad_() for tensor in (value, locations, weights)]
        output = _deformable_attention(inputs[0], spatial_shapes, *inputs[1:])
    gradients = torch.autograd.grad(output, inputs, grad_output.to(output.dtype))
    for target, gradient in zip((grad_value, grad_locations, grad_weights), gradients):
        target.copy_(gradient)


_SUPPLIED = (
    nms,
    roi_align_forward,
    roi_align_backward,
    deform_conv_forward,
    deform_conv_backward_input,
    deform_conv_backward_parameters,
    modulated_deform_conv_forward,
    modulated_deform_conv_backward,
    sigmoid_focal_loss_forward,
    sigmoid_focal_loss_backward,
    ms_deform_attn_forward,
    ms_deform_attn_backward,
)


def _needs_full_mmcv(op: str) -> str:
    return f'mmcv op {op} is compiled only: install the full mmcv build in place of mmcv-lite'


def _not_supplied(name: str) -> Any:
    """The ``__getattr__`` of the stand-in: mmcv imports every op by name, used or not."""
    if name.startswith('__'):  # inspect, pickle and importlib try attributes that may be missing
        raise AttributeError(f"module 'mmcv._ext' has no attribute '{name}'")

    def op(*args, **kwargs):
        raise NotImplementedError(_needs_full_mmcv(name))

    op.__name__ = op.__qualname__ = name
    return op


class _StandInFinder(MetaPathFinder, Loader):
    def find_spec(self, fullname, path=None, target=None):
        return ModuleSpec(fullname, self, origin=__file__) if fullname == 'mmcv._ext' else None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        vars(module).update({op.__name__: op for op in _SUPPLIED}, __getattr__=_not_supplied)


def apply() -> None:
    """Supply ``mmcv._ext`` if there is no compiled one."""
    if not any(isinstance(finder, _StandInFinder) for finder in sys.meta_path):
        sys.meta_path.append(_StandInFinder())


def compiled_ops() -> bool:
    """Tell whether mmcv has its compiled ops, so that the stand-in is not used.

    Returns:
        bool: Whether it has.
    """
    spec = find_spec('mmcv._ext')
    return spec is not None and not isinstance(spec.loader, _StandInFinder)
