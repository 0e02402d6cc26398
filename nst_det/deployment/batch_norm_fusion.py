"""Moving the scales of batch norms into the convolutions before them."""

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nst_det.layers import canvas_of
from nst_det.models.distillers.noise_batch import noise

TRIAL_IMAGE = 128, 128


@torch.no_grad()
def fuse_batch_norms(detector: nn.Module) -> tuple[int, int]:
    """Give each convolution the scale of the batch norm that alone reads it.

    The batch norm stays, with scale 1, mean 0 and variance 1 − ε: so the weights have the names and
    shapes that they had, fit the same config and predict the same. With scale
    ``a = γ / sqrt(σ² + ε)`` the convolution's weights become ``a W``; the shift ``β − a μ`` goes
    into the convolution's bias where it has one, and stays the batch norm's where it has none.

    Which batch norm reads which convolution is seen in a forward pass: pairs are fused where
    nothing else reads the convolution, and the batch norm reads nothing else.

    Args:
        detector (nn.Module): The detector, in evaluation mode; it is changed.

    Returns:
        tuple[int, int]: How many batch norms are fused, and how many there are.
    """
    norms = [
        module
        for module in detector.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_var is not None
    ]
    pairs = _find_pairs(detector, norms)
    for convolution, norm in pairs:
        _fuse(convolution, norm)
    return len(pairs), len(norms)


def _find_pairs(
    detector: nn.Module, norms: list[nn.Module]
) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    convolutions = {
        module.weight: module for module in detector.modules() if isinstance(module, nn.Conv2d)
    }
    readings = _Readings(set(convolutions))
    batch = noise(detector, canvas_of(TRIAL_IMAGE, detector))
    with torch.random.fork_rng(), readings:
        detector(**batch, mode='predict')
    pairs = []
    for norm in norms:
        sources = readings.sources[norm.running_var]
        weight = next(iter(sources), None)
        if norm.affine and len(sources) == 1 and readings.readers[weight] == {norm.running_var}:
            pairs.append((convolutions[weight], norm))
    return pairs


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


class _Readings(TorchDispatchMode):
    """Notes which operations read what convolutions give.

    Args:
        weights (set[Tensor]): The convolutions' weights, by which they are known; batch norms are
            known by their variance.
    """

    def __init__(self, weights: set[Tensor]) -> None:
        super().__init__()
        self.weights = weights
        self.outputs: dict[int, tuple[Tensor, Tensor]] = {}  # kept alive, so that ids stay theirs
        self.readers: dict[Tensor, set] = defaultdict(set)
        self.sources: dict[Tensor, set] = defaultdict(set)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        """Run an operation, and note what it read."""
        tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        is_norm = 'batch_norm' in func.name()
        reader = args[4] if is_norm else func  # after input, weight, bias and mean: the variance
        if is_norm:
            self.sources[reader].add(self.outputs.get(id(tensors[0]), (None, None))[1])
        for tensor in tensors:
            if id(tensor) in self.outputs:
                self.readers[self.outputs[id(tensor)][1]].add(reader)
        result = func(*args, **(kwargs or {}))
        if 'convolution' in func.name() and tensors[1] in self.weights:
            self.outputs[id(result)] = result, tensors[1]
        return result
