"""Which batch norm alone reads which convolution, so that the two can become one."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary


@contextmanager
def conv_bn_pairs(network: nn.Module) -> Iterator[list[tuple[nn.Conv2d, _BatchNorm]]]:
    """Find the pairs in the forward pass that runs inside the ``with`` block.

    They are told by what the operations read, not by names or by the order of children: in each run
    nothing but the batch norm reads the convolution, and it reads nothing else.

    Args:
        network (nn.Module): The network; only batch norms in evaluation mode count.

    Yields:
        list[tuple[nn.Conv2d, _BatchNorm]]: The pairs; empty until the block ends.
    """
    convolutions = {one.weight: one for one in network.modules() if isinstance(one, nn.Conv2d)}
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
    """Notes which operations read what convolutions give.

    Args:
        weights (set[Tensor]): The convolutions' weights, by which they are known; batch norms are
            known by their variance.
    """

    def __init__(self, weights: set[Tensor]) -> None:
        super().__init__()
        self.weights = weights
        self.outputs = WeakTensorKeyDictionary()  # not kept alive: a whole pass is large
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
            self.sources[reader].add(self.outputs.get(tensors[0]))
        for tensor in tensors:
            if tensor in self.outputs:
                self.readers[self.outputs[tensor]].add(reader)
        result = func(*args, **(kwargs or {}))
        if 'convolution' in func.name() and tensors[1] in self.weights:
            self.outputs[result] = tensors[1]
        return result
