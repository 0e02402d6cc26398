"""Measuring the weights of the losses whose config says ``loss_weight='auto'``."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.logging import MessageHub, print_log
from torch import Tensor

from nst_det.errors import UserError
from nst_det.models.distillers.gradient_ratio import gradient_ratios
from nst_det.models.distillers.transfers.base import StudentOutput, Transfer
from nst_det.models.losses.auto_weight import AutoWeight

AUTO_WEIGHTS = 'nst_det.auto_weights'


class AutoWeights:
    """The weights that are measured in the first iterations, by the name of their transfer.

    A checkpoint keeps what was measured in its ``message_hub``, so a resumed training goes on with
    the same weights. In distributed training a ratio is the mean over the processes, which so have
    the same weights.

    Args:
        transfers (Sequence[Transfer]): The transfers of a distiller.
    """

    def __init__(self, transfers: Sequence[Transfer]) -> None:
        self.transfers = {
            transfer.name: transfer for transfer in transfers if transfer.loss.auto_weight
        }

    def follow(self, hub: MessageHub) -> None:
        """Take over what was measured before the training was resumed, and let the hub save it.

        Args:
            hub (MessageHub): The message hub of the training.
        """
        if not self.transfers:
            return
        found = hub.runtime_info.get(AUTO_WEIGHTS)
        if found is not None and not isinstance(found, _LiveRatios):
            for name, measured in found.items():
                if name in self.transfers:
                    transfer = self.transfers[name]
                    transfer.loss.auto_weight.ratios = list(measured['ratios'])
                    self._set_weight(transfer)
                    print_log(
                        f'Resumed the weight of {name}: λ = {transfer.loss.loss_weight:.4g}',
                        'current',
                    )
        hub.update_info(AUTO_WEIGHTS, _LiveRatios(self.transfers))

    def measure(
        self,
        transfers: Sequence[Transfer],
        detection_loss: Tensor,
        losses: dict[str, Tensor],
        outputs: Sequence[StudentOutput],
        views: Sequence[Sequence[Tensor]],
    ) -> None:
        """Measure one iteration, and give the losses of this iteration the new weights.

        Args:
            transfers (Sequence[Transfer]): The active transfers.
            detection_loss (Tensor): The sum of the student's own losses, a scalar.
            losses (dict[str, Tensor]): The losses by name; those that are measured are replaced.
            outputs (Sequence[StudentOutput]): What each transfer recorded.
            views (Sequence[Sequence[Tensor]]): For each transfer the views that only it reads.

        Raises:
            UserError: If after the last measured iteration there is no ratio to go by.
        """
        measured = [
            (transfer, output.tensors, view)
            for transfer, output, view in zip(transfers, outputs, views)
            if transfer.name in self.transfers and not transfer.loss.auto_weight.complete
        ]
        if not measured or not torch.is_grad_enabled():
            return
        ratios = gradient_ratios(
            detection_loss,
            [tensors for _, tensors, _ in measured],
            sum(losses[transfer.name] for transfer, _, _ in measured),
            [view for _, _, view in measured],
        )
        for (transfer, _, _), ratio in zip(measured, ratios):
            at_one = ratio.detach() / transfer.weight
            all_reduce(at_one, 'mean')
            auto, before = transfer.loss.auto_weight, transfer.loss.loss_weight
            auto.ratios.append(at_one.item())
            self._set_weight(transfer)
            losses[transfer.name] = losses[transfer.name] * (transfer.loss.loss_weight / before)
            if auto.complete:
                _report(transfer, auto)

    def values(self, device: torch.device) -> dict[str, Tensor]:
        """List the present weights for the log.

        Args:
            device (torch.device): Where the scalars are made.

        Returns:
            dict[str, Tensor]: Scalars by log key, such as ``weight_backbone_layer3``.
        """
        return {
            f'weight_{transfer.log_name}': torch.tensor(transfer.weight, device=device)
            for transfer in self.transfers.values()
        }

    def _set_weight(self, transfer: Transfer) -> None:
        weight = transfer.loss.auto_weight.weight
        if weight is not None:
            transfer.loss.loss_weight = weight


def _report(transfer: Transfer, auto: AutoWeight) -> None:
    if auto.weight is None:
        has_gradient = any(ratio > 0 for ratio in auto.ratios)
        reason = (
            'no gradient of the detection losses reaches it: choose a layer that the heads '
            'depend on'
            if has_gradient or any(math.isnan(ratio) for ratio in auto.ratios)
            else 'the loss has no gradient there: choose another layer or loss'
        )
        raise UserError(
            f"{transfer.name} has loss_weight='auto', but no weight could be measured at "
            f"'{transfer.layer}' in {auto.iterations} iterations: {reason}, or give a number"
        )
    print_log(
        f'{transfer.name}: λ = {auto.weight:.4g}, at which its gradient is {auto.ratio:g} times '
        f'that of the detection losses (median of the first {auto.iterations} iterations)',
        'current',
    )


class _LiveRatios(dict):
    """Ratios that are measured; a deep copy, such as a checkpoint takes, has the present values."""

    def __init__(self, transfers: Mapping[str, Transfer]) -> None:
        super().__init__()
        self.transfers = transfers

    def __deepcopy__(self, memo: dict) -> dict[str, dict[str, Any]]:
        return {
            name: dict(
                weight=transfer.loss.loss_weight,
                ratio=transfer.loss.auto_weight.ratio,
                ratios=list(transfer.loss.auto_weight.ratios),
            )
            for name, transfer in self.transfers.items()
        }
