"""The losses that have parameters, such as FitNet's: trained and resumed, but not deployed."""

from collections.abc import Mapping

from mmengine.logging import MessageHub, print_log
from torch import Tensor, nn

from nst_det.errors import UserError

NAME = 'trained_losses'
_INFO = 'nst_det.trained_losses'


class TrainedLosses(nn.ModuleDict):
    """The losses with parameters, by the name of their transfer.

    A checkpoint keeps their weights in its ``message_hub``, apart from the student's
    ``state_dict``. Every training's checkpoint has a message hub, so no config needs a hook for it.
    """

    def follow(self, hub: MessageHub) -> None:
        """Load weights that were resumed, and let the hub save the weights from now on.

        Args:
            hub (MessageHub): The message hub of the training.

        Raises:
            UserError: If the resumed weights are those of other losses.
        """
        found = hub.runtime_info.get(_INFO)
        if found is not None and not isinstance(found, _LiveWeights):
            self._resume(found)
        if len(self):
            hub.update_info(_INFO, _LiveWeights(self.state_dict()))

    def _resume(self, weights: Mapping[str, Tensor]) -> None:
        shapes = {key: tuple(value.shape) for key, value in self.state_dict().items()}
        resumed_shapes = {key: tuple(value.shape) for key, value in weights.items()}
        if shapes != resumed_shapes:
            raise UserError(
                f'the resumed training trained the losses {resumed_shapes}, but this config trains '
                f'{shapes}: resume with the config that the training was started with'
            )
        self.load_state_dict(weights)
        print_log(f'Resumed the trained losses: {", ".join(self)}', 'current')


class _LiveWeights(dict):
    """Weights in training; a deep copy, such as a checkpoint takes, holds their present values."""

    def __deepcopy__(self, memo: dict) -> dict[str, Tensor]:
        return {key: value.detach().cpu().clone() for key, value in self.items()}
