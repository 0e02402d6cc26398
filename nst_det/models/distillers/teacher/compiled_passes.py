"""The pass of a teacher, compiled by torch for some shapes of a batch."""

import logging
import time
from collections.abc import Callable, Hashable
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map

from nst_det.errors import UserError, one_line
from nst_det.models.distillers.teacher.precision import computed_in
from nst_det.models.distillers.teacher.speedups import TOLERANCE, relative_difference

# Of types with fewer digits: 16 times the largest error of rounding one number.
COARSE_TOLERANCES = {torch.bfloat16: 2**-4, torch.float16: 2**-7}


class CompiledPasses:
    """Compiled forward passes, each for one shape of the batch, that replace a pass of a teacher.

    The operations of the pass on one batch are recorded, up to the last tap, and compiled: so a
    compiled pass gives what the taps read, wherever they are. It is used for batches of the same
    shape, if its outputs for that first batch are those of the pass itself to the rounding of
    their type. A batch of another shape has a compiled pass of its own, until there are ``limit``.
    It is not padded to a shape that has one, because padding changes feature maps near the border.
    Where a pass cannot be compiled, or gives something else, none is compiled any more, and the log
    reports it.

    Args:
        limit (int): For how many shapes a pass is compiled at most.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.passes: dict[Hashable, Callable[[Tensor], Any]] = {}
        self.stopped = False

    def __call__(
        self,
        request: Hashable,
        images: Tensor,
        eager: Callable[[], Any],
        operations: Callable[[Tensor], Any],
    ) -> Any:
        """Run the pass: compiled, if it is compiled for this request and this shape.

        Args:
            request (Hashable): What is asked for, beside the images.
            images (Tensor): The preprocessed batch, `(N, C, H, W)`.
            eager (Callable): Runs the pass without compiling.
            operations (Callable): The pass as a function of the images alone.

        Returns:
            Any: What ``eager`` returns: tensors, in lists or tuples.
        """
        key = (request, images.shape, images.dtype, images.device, computed_in(images))
        if key in self.passes:
            return self.passes[key](images)
        outputs = eager()
        if not self.stopped:
            if len(self.passes) < self.limit:
                self._add(key, images, outputs, operations)
            else:
                self._stop(f'{self.limit} shapes are compiled, others are not', logging.INFO)
        return outputs

    def forget(self) -> None:
        """Forget all compiled passes, because the teacher has changed."""
        self.passes = {}
        self.stopped = False

    def _add(
        self, key: Hashable, images: Tensor, expected: Any, operations: Callable[[Tensor], Any]
    ) -> None:
        """Compile the pass for a shape, and keep it if the outputs are the expected ones."""
        shape = ' × '.join(map(str, images.shape))
        print_log(f'The pass of the teacher is compiled for batches of {shape} …', 'current')
        started = time.monotonic()
        try:
            compiled = compile_pass(operations, images)
            pairs = list(zip(_leaves(compiled(images)), _leaves(expected), strict=True))
        except Exception as error:  # of many kinds, from torch, the compiler and the detector
            self._stop(_reason(error), logging.WARNING)
            return
        for output, wanted in pairs:
            if wanted is None:  # no logits
                continue
            difference = float(relative_difference(output, wanted))
            if not difference <= _tolerance(wanted):  # NaN too
                fault = f'its outputs change by {difference:.1e} of their norm'
                self._stop(fault, logging.WARNING)
                return
        self.passes[key] = compiled
        seconds = time.monotonic() - started
        print_log(
            f'… in {seconds:.0f} s: {len(self.passes)} of at most {self.limit} shapes '
            '(teacher.compile_shapes)',
            'current',
        )

    def _stop(self, reason: str, level: int) -> None:
        self.stopped = True
        where = ' for other shapes' if self.passes else ''
        print_log(f'The teacher runs without torch.compile{where}: {reason}', 'current', level)


def _leaves(outputs: Any) -> list[Tensor | None]:
    return tree_flatten(outputs)[0]


def compile_pass(operations: Callable[[Tensor], Any], images: Tensor) -> Callable[[Tensor], Any]:
    """Compile a function of a batch of images for the shape of the batch.

    Args:
        operations (Callable): The function. Gradients are not needed.
        images (Tensor): A batch, `(N, C, H, W)`.

    Returns:
        Callable: The compiled function. On a GPU it is a CUDA graph.
    """
    from torch.fx.experimental.proxy_tensor import make_fx  # takes a second to import

    graph = make_fx(operations)(images)
    on_cpu = images.device.type == 'cpu'
    if on_cpu:  # freezing stores the weights in the layout of oneDNN, and fuses the activations
        compiled = torch.compile(graph, options={'freezing': True, 'compile_threads': 1})
    else:
        compiled = torch.compile(graph, mode='reduce-overhead')

    def run(images: Tensor) -> Any:
        # Autocast is a part of the recorded operations.
        with torch.autocast(images.device.type, enabled=False):
            outputs = compiled(images)
        # The next run of a CUDA graph overwrites its outputs.
        return outputs if on_cpu else tree_map(torch.clone, outputs)

    return run


def _tolerance(output: Tensor) -> float:
    """The largest difference, over the norm, that is rounding."""
    dtype = output.dtype
    if output.device.type == 'cuda' and torch.backends.cudnn.allow_tf32:
        dtype = torch.float16 if dtype == torch.float32 else dtype  # TF32 has as many digits
    return COARSE_TOLERANCES.get(dtype, TOLERANCE)


def _reason(error: Exception) -> str:
    """Say in one line why a pass could not be compiled."""
    if isinstance(error, UserError):
        return str(error)
    if 'No working C++ compiler' in str(error):
        return 'there is no C++ compiler: install g++, or name one in the environment variable CXX'
    return one_line(error)
