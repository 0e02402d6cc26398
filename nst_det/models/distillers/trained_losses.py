"""The losses that learn themselves, such as FitNet's: trained, resumed, never deployed."""

from collections.abc import Mapping

from mmengine.logging import MessageHub, print_log
from torch import Tensor, nn

from nst_det.errors import UserError

NAME = 'trained_losses'
_INFO = 'nst_det.trained_losses'


class TrainedLosses(nn.ModuleDict):
    """The losses with parameters, by the name of their transfer.

    Their weights travel in a checkpoint's ``message_hub``, which every training's checkpoint has:
    beside the student's ``state_dict``, and without a hook that a config would have to name.
    """

    def follow(self, hub: MessageHub) -> None:
        """Have the weights saved with the training from now on, and take up resumed ones.

        Args:
            hub (MessageHub): The training's.

        Raises:
            UserError: Where a resumed training has other weights than these.
        """
        found = hub.runtime_info.get(_INFO)
        if found is not None and not isinstance(found, _Live):
            self._resume(found)
        if len(self):
            hub.update_info(_INFO, _Live(self.state_dict()))

    def _resume(self, weights: Mapping[str, Tensor]) -> None:
        own = {key: tuple(value.shape) for key, value in self.state_dict().items()}
        saved = {key: tuple(value.shape) for key, value in weights.items()}
        if own != saved:
            raise UserError(
                f'the resumed training has trained the losses {saved}, this config trains {own}: '
                'resume with the config that it was started with'
            )
        self.load_state_dict(weights)
        print_log(f'Resumed the trained losses: {", ".join(self)}', 'current')


class _Live(dict):
    """Weights that change as they are trained; a copy, such as a checkpoint's, keeps them."""

    def __deepcopy__(self, memo: dict) -> dict[str, Tensor]:
        return {key: value.detach().cpu().clone() for key, value in self.items()}
