"""Stops a training whose loss is no number any more."""

from mmdet.registry import HOOKS
from mmengine.hooks import Hook

from nst_det.models.losses.finite import check_finite


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Checks every iteration's losses, for a detector that is trained without a distiller.

    :class:`NSTDistiller` checks its own, before they reach the weights; this hook does the same for
    any model, after the step but before any checkpoint is written.
    """

    priority = 'VERY_HIGH'

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Check the losses that the model logged.

        Raises:
            UserError: Where one is infinite or NaN.
        """
        check_finite(outputs or {}, runner.iter)
