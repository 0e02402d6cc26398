"""An optimizer wrapper that trains in bfloat16 on any device, a CPU included."""

from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn

from nst_det.models.distillers.teacher.precision import is_native, precision_context

BFLOAT16 = 'bfloat16'


@OPTIM_WRAPPERS.register_module()
class Bfloat16OptimWrapper(OptimWrapper):
    """Trains with autocast in bfloat16: weights and losses in float32, convolutions in bfloat16.

    mmengine's ``AmpOptimWrapper`` refuses CPUs. bfloat16 has the range of float32, so that no loss
    needs to be scaled. GPUs compute in it, and CPUs with the instructions for it (``avx512_bf16``
    or ``amx_bf16`` in ``lscpu``). Other CPUs would emulate it, several times slower than float32:
    there the training stays in float32, and the log says so. Tests and validations are in float32.

    Args:
        **kwargs: Those of :class:`mmengine.optim.OptimWrapper`.
    """

    _precision: str | None = None  # until the first iteration

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Compute the forward pass of an iteration in bfloat16.

        Args:
            model (nn.Module): The model in training.

        Yields:
            None: Nothing.
        """
        device = next(model.parameters()).device
        if self._precision is None:
            self._precision = BFLOAT16 if is_native(BFLOAT16, device) else 'float32'
            print_log(f'The student is trained in {self._precision}.', 'current')
        with super().optim_context(model), precision_context(self._precision, device):
            yield
