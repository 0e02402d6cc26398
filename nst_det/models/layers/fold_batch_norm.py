"""Moving the scales of batch norms into the convolutions before them."""

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from nst_det.models.distillers.taps.dummy_batch import dummy_batch, padded_shape
from nst_det.models.layers.conv_bn_pairs import conv_bn_pairs

TRIAL_IMAGE = 128, 128


@torch.no_grad()
def fuse_batch_norms(detector: nn.Module) -> tuple[int, int]:
    """Move the scale of each batch norm into the convolution that it alone reads.

    The batch norm stays, with scale 1, mean 0 and variance 1 − ε. So the weights keep their names
    and shapes, fit the same config and predict the same. With the scale ``a = γ / sqrt(σ² + ε)``
    the weights of the convolution become ``a W``. The shift ``β − a μ`` moves into the bias of the
    convolution; if it has no bias, the shift stays in the batch norm.

    A forward pass finds the pairs: see :func:`conv_bn_pairs`.

    Args:
        detector (nn.Module): The detector, in evaluation mode; it is changed.

    Returns:
        tuple[int, int]: The number of fused batch norms, and of all batch norms.
    """
    batch = dummy_batch(detector, padded_shape(TRIAL_IMAGE, detector))
    with torch.random.fork_rng(), conv_bn_pairs(detector) as pairs:
        detector(**batch, mode='predict')
    pairs = [(convolution, norm) for convolution, norm in pairs if norm.affine]
    for convolution, norm in pairs:
        _fuse(convolution, norm)
    count = sum(isinstance(module, _BatchNorm) for module in detector.modules())
    return len(pairs), count


def _fuse(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    gamma, beta, mean, var = (
        tensor.double() for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    )
    scale = gamma / (var + norm.eps).sqrt()
    shift = beta - scale * mean
    convolution.weight.copy_(convolution.weight.double() * scale[:, None, None, None])
    if convolution.bias is not None:
        convolution.bias.copy_(convolution.bias.double() * scale + shift)
        shift = torch.zeros_like(shift)
    norm.weight.fill_(1)
    norm.bias.copy_(shift)
    norm.running_mean.zero_()
    norm.running_var.fill_(1 - norm.eps)
