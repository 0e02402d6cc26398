"""An optimizer wrapper that trains in bfloat16 on any device, a CPU included."""

from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn

from nst_det.models.distillers.teacher.precision import precision_context, warn_if_emulated

BFLOAT16 = 'bfloat16'


@OPTIM_WRAPPERS.register_module()
class Bfloat16OptimWrapper(OptimWrapper):
    """Trains with autocast in bfloat16: weights and losses in float32, convolutions in bfloat16.

    mmengine's ``AmpOptimWrapper`` refuses CPUs. bfloat16 has the range of float32, so that no loss
    needs to be scaled. It is quick on GPUs, and on CPUs with the instructions for it
    (``avx512_bf16`` or ``amx_bf16`` in ``lscpu``); other CPUs emulate it, several times slower than
    float32. Tests and validations stay in float32.

    Args:
        **kwargs: Those of :class:`mmengine.optim.OptimWrapper`.
    """

    _warned = False

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Compute the forward pass of an iteration in bfloat16.

        Args:
            model (nn.Module): The model in training.

        Yields:
            None: Nothing.
        """
        device = next(model.parameters()).device
        if not self._warned:
            warn_if_emulated(BFLOAT16, device, 'the type of optim_wrapper')
            self._warned = True
        with super().optim_context(model), precision_context(BFLOAT16, device):
            yield
