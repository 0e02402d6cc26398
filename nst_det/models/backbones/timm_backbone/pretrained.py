"""Loading published weights into a network of timm."""

import sys
from typing import Any

from mmengine.logging import print_log
from torch import Tensor, nn

from nst_det.errors import UserError
from nst_det.fileio.fit import Fit, best_fit
from nst_det.fileio.state_dict import read_state_dict
from nst_det.models.backbones.timm_backbone.efficientnet_lite import has_lite_names, timm_names
from nst_det.models.backbones.timm_backbone.networks import published_network


def load_published(network: nn.Module, model_name: str, kwargs: dict[str, Any]) -> None:
    """Load the weights that timm itself downloads.

    Args:
        network (nn.Module): The network.
        model_name (str): timm's name of it.
        kwargs (dict): Further arguments of the network.

    Raises:
        UserError: If they cannot be had.
    """
    source = published_network(model_name, **kwargs)
    fit = best_fit(network, source.state_dict())
    _load(network, fit, model_name, f"timm's weights of {model_name}")


def load_weights(network: nn.Module, model_name: str, path: str) -> None:
    """Load a file of weights, which must hold every weight of the network.

    The keys may be timm's, those of ``efficientnet-lite-pytorch``, those that timm converts for
    this network (DINOv2's own, for example), or any of these under one prefix.

    Args:
        network (nn.Module): The network without its classifier.
        model_name (str): timm's name of it, for the error.
        path (str): Path or URL of the file.

    Raises:
        UserError: If there is no such file, or a weight is missing or has another shape.
    """
    weights = read_state_dict(path)
    if has_lite_names(weights):
        weights = timm_names(weights)
    fit = best_fit(network, weights)
    convert = getattr(sys.modules[type(network).__module__], 'checkpoint_filter_fn', None)
    if not fit.has_all and convert is not None:
        fit = best_fit(network, _converted(convert, weights, network))
    _load(network, fit, model_name, path)


def _converted(convert: Any, weights: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Let timm give published weights its own names; the weights as they are if it cannot."""
    try:
        return convert(dict(weights), network)
    except Exception:  # of weights of another network a converter may raise anything
        return weights


def _load(network: nn.Module, fit: Fit, model_name: str, source: str) -> None:
    if not fit.has_all:
        fault = [*fit.reshaped, *(f'no {name}' for name in fit.missing)][0]
        raise UserError(
            f'{source} fits {fit.count} of the {fit.wanted} weights of {model_name} ({fault}): '
            'give the weights of this network, or the model_name that they are of'
        )
    network.load_state_dict(fit.weights, strict=False)
    line = f'{model_name} loaded all of its {fit.count} weights from {source}'
    if fit.unexpected:
        line += f'; {len(fit.unexpected)} stay unused, such as {fit.unexpected[-1]}'
    print_log(line, 'current')
