"""Building the networks of timm, which is imported only when one is asked for."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from torch import nn

from nst_det.errors import UserError, nearest, one_line

# What lets a transformer take images of any size. Not every network has each of these arguments.
ANY_SIZE: tuple[dict[str, bool], ...] = (
    dict(dynamic_img_size=True, dynamic_img_pad=True),
    dict(dynamic_img_size=True),
    dict(strict_img_size=False),
    dict(),
)


@dataclass(frozen=True)
class Network:
    """A network of timm that computes feature maps.

    Args:
        network (nn.Module): The network without what its feature maps do not need.
        out_indices (list[int]): Which feature maps it gives, as the network counts them.
        channels (tuple[int, ...]): C of each of them.
        strides (tuple[int, ...]): Image pixels per position of each of them.
        preprocess (dict): ``mean``, ``std`` (of RGB 0-255) and ``bgr_to_rgb``.
    """

    network: nn.Module
    out_indices: list[int]
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    preprocess: dict[str, Any]


def import_timm() -> ModuleType:
    """Import timm.

    Returns:
        ModuleType: timm.

    Raises:
        UserError: If it is not installed.
    """
    try:
        import timm
    except ImportError as error:
        raise UserError(
            f'TIMMBackbone needs timm, which cannot be imported ({one_line(error)}): '
            "pip install 'nst_det[timm]', or pip install timm"
        ) from error
    return timm


def build_network(model_name: str, out_indices: Sequence[int] | None, **kwargs: Any) -> Network:
    """Build a network of timm without its classifier, initialized by timm.

    Args:
        model_name (str): timm's name of it.
        out_indices (Sequence[int], optional): Which feature maps to compute; None for all that
            timm's ``features_only`` chooses.
        **kwargs: Further arguments of the network.

    Returns:
        Network: The network.

    Raises:
        UserError: If there is no such network, no such feature map or no such argument.
    """
    timm = import_timm()
    if not isinstance(model_name, str) or not timm.is_model(model_name):
        raise UserError(
            f'TIMMBackbone.model_name is {model_name!r}, which timm {timm.__version__} does not '
            f'know: {nearest(str(model_name), timm.list_models())}',
            'TIMMBackbone.model_name',
        )
    chosen = {} if out_indices is None else dict(out_indices=_indices(out_indices))
    try:
        features = _build(model_name, **chosen, **kwargs)
    except (TypeError, AssertionError, IndexError, ValueError, RuntimeError) as error:
        raise _build_error(model_name, chosen, kwargs, error) from error
    for module in features.modules():  # mmdet's NumClassCheckHook takes it for that of a head
        vars(module).pop('num_classes', None)
    info = features.feature_info
    mean, std = (features.pretrained_cfg[key] for key in ('mean', 'std'))
    if list(info.out_indices) != sorted(set(info.out_indices)):
        raise UserError(
            f'TIMMBackbone.out_indices is {out_indices}, expected rising numbers: timm gives the '
            'feature maps in the order of the network',
            'TIMMBackbone.out_indices',
        )
    return Network(
        network=getattr(features, 'model', features),
        out_indices=list(info.out_indices),
        channels=tuple(info.channels()),
        strides=tuple(info.reduction()),
        preprocess=dict(
            mean=[255 * value for value in mean],
            std=[255 * value for value in std],
            bgr_to_rgb=True,
        ),
    )


def published_network(model_name: str, **kwargs: Any) -> nn.Module:
    """Build a network with all of its parts and with the weights that timm downloads for it.

    Args:
        model_name (str): timm's name of it.
        **kwargs: Further arguments of the network.

    Returns:
        nn.Module: The network.

    Raises:
        UserError: If the weights cannot be had.
    """
    try:
        return import_timm().create_model(model_name, pretrained=True, **kwargs)
    except Exception as error:  # the web and its libraries may raise anything
        raise UserError(
            f'timm could not fetch its weights of {model_name!r} ({one_line(error)[:200]}): give '
            'a file that you downloaded as checkpoint=…',
            'TIMMBackbone.pretrained',
        ) from error


def stages(network: nn.Module) -> list[list[str]]:
    """Group the parameters of a network by stage, as timm does for layer-wise learning rates.

    Args:
        network (nn.Module): The network, see :func:`build_network`.

    Returns:
        list[list[str]]: The names of the parameters: of the stem, of the first stage, and so on. A
        network that timm does not group is one stage.
    """
    names = [name for name, _ in network.named_parameters()]
    if not hasattr(network, 'group_matcher'):
        return [names]
    from timm.models import group_parameters

    return list(group_parameters(network, network.group_matcher(coarse=True)).values())


def _indices(out_indices: Sequence[int]) -> tuple[int, ...]:
    indices = tuple(out_indices) if isinstance(out_indices, (tuple, list)) else ()
    if not indices or not all(type(index) is int for index in indices):
        raise UserError(
            f'TIMMBackbone.out_indices is {out_indices!r}, expected a list of numbers such as '
            '(2, 3, 4)',
            'TIMMBackbone.out_indices',
        )
    return indices


def _build(model_name: str, **kwargs: Any) -> nn.Module:
    """Build timm's feature extractor; a transformer for images of any size if it has that."""
    create = import_timm().create_model
    logger = logging.getLogger('timm')
    level = logger.level
    logger.setLevel(logging.ERROR)  # arguments that are tried in vain
    try:
        for any_size in ANY_SIZE:
            options = {'features_only': True, **any_size, **kwargs}
            try:
                # The getter leaves the names as they are, and leaves out what is not needed.
                return create(model_name, feature_cls='getter', **options)
            except TypeError as error:
                if not any(f"'{option}'" in str(error) for option in any_size):
                    raise
            except AttributeError as error:  # an old family has no forward_intermediates
                if 'forward_intermediates' not in str(error):
                    raise
                return create(model_name, **options)
    finally:
        logger.setLevel(level)
    raise AssertionError('the last entry of ANY_SIZE is empty')


def _build_error(
    model_name: str, chosen: dict[str, Any], kwargs: dict[str, Any], error: Exception
) -> UserError:
    """Tell a wrong ``out_indices`` from a wrong argument."""
    if chosen:
        try:
            info = _build(model_name, **kwargs).feature_info
        except (TypeError, AssertionError, IndexError, ValueError, RuntimeError):
            pass
        else:
            count = len(info.info)
            strides = ', '.join(str(entry['reduction']) for entry in info.info)
            return UserError(
                f'TIMMBackbone.out_indices is {chosen["out_indices"]}, but {model_name} has '
                f'{count} feature maps, 0 to {count - 1}, of strides {strides}',
                'TIMMBackbone.out_indices',
            )
    return UserError(
        f'timm cannot build {model_name} with {kwargs}: {one_line(error)}', 'TIMMBackbone'
    )
