"""Pairs of a convolution and the batch norm that alone reads it: the two can become one."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten
from torch.utils.weak import WeakTensorKeyDictionary


@contextmanager
def conv_bn_pairs(network: nn.Module) -> Iterator[list[tuple[nn.Conv2d, _BatchNorm]]]:
    """Find the pairs in the forward pass that runs inside the ``with`` block.

    A pair is recognised by the tensors that the operations read, not by names or by the order of
    children: only the batch norm reads the output of the convolution, and reads nothing else.

    Args:
        network (nn.Module): The network. Batch norms in training mode are left out.

    Yields:
        list[tuple[nn.Conv2d, _BatchNorm]]: The pairs. The list is empty until the block ends.
    """
    convolutions = {
        module.weight: module for module in network.modules() if isinstance(module, nn.Conv2d)
    }
    pairs: list[tuple[nn.Conv2d, _BatchNorm]] = []
    readings = _Readings(set(convolutions))
    with torch.no_grad(), readings:
        yield pairs
    for norm in network.modules():
        if not isinstance(norm, _BatchNorm) or norm.training or norm.running_var is None:
            continue
        sources = readings.sources[norm.running_var]
        weight = next(iter(sources), None)
        if len(sources) == 1 and readings.readers[weight] == {norm.running_var}:
            pairs.append((convolutions[weight], norm))


class _Readings(TorchDispatchMode):
    """Notes which operations read the outputs of convolutions.

    Args:
        weights (set[Tensor]): The weights of the convolutions, which identify them. A batch norm is
            identified by its running variance.
    """

    def __init__(self, weights: set[Tensor]) -> None:
        super().__init__()
        self.weights = weights
        self.outputs = (
            WeakTensorKeyDictionary()
        )  # weak, because the outputs of a forward pass are large
        self.readers: dict[Tensor, set] = defaultdict(set)
        self.sources: dict[Tensor, set] = defaultdict(set)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        """Run an operation, and note the tensors that it read."""
        tensors = [leaf for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, Tensor)]
        is_norm = 'batch_norm' in func.name()
        reader = (
            args[4] if is_norm else func
        )  # the running variance, after input, weight, bias and mean
        if is_norm:
            self.sources[reader].add(self.outputs.get(tensors[0]))
        for tensor in tensors:
            if tensor in self.outputs:
                self.readers[self.outputs[tensor]].add(reader)
        result = func(*args, **(kwargs or {}))
        if 'convolution' in func.name() and tensors[1] in self.weights:
            self.outputs[result] = tensors[1]
        return result
