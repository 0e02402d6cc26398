"""Initializing some layers of Inception-BN from a checkpoint of the complete network."""

import logging
from collections.abc import Mapping
from typing import Any

from mmengine.logging import print_log
from mmengine.model import PretrainedInit, update_init_info
from torch import Tensor, nn

from nst_det.errors import UserError
from nst_det.models.backbones.inception_bn.published_weights import (
    OWN,
    PublishedWeights,
    read_published,
)


class PretrainedLayers(PretrainedInit):
    """Loads the weights of a module from a checkpoint, which must hold all of them.

    mmengine's ``Pretrained`` logs which weights it could not load, and trains with random ones.
    `InceptionSequence` uses this class in its place. Weights of other layers of the network are
    not used; weights of no layer, such as those of a classifier, are named in a warning. The file
    may have the names of this package or those of published files: see `read_published`.

    Args:
        checkpoint (str): Path or URL.
        prefix (str, optional): The prefix of the keys to read, such as ``'backbone.'``. Defaults to
            None.
        map_location (str): Not used: weights are read onto the CPU. mmengine passes it.
    """

    def __call__(self, module: nn.Module) -> None:
        """Load into an `InceptionSequence`.

        Raises:
            UserError: If the file does not hold every weight of the module in its shape, or has the
                other variant. The module is unchanged then.
        """
        published = read_published(self.checkpoint)
        weights = published.weights
        if self.prefix is not None:
            prefix = self.prefix.rstrip('.') + '.'
            weights = {
                key.removeprefix(prefix): value
                for key, value in weights.items()
                if key.startswith(prefix)
            }
        self._check_variant(module, PublishedWeights(published.family, weights).variants)
        self._check_shapes(module, weights)
        self._report(module, weights, published)
        own = {key: weights[key] for key in module.state_dict() if key in weights}
        module.load_state_dict(own)
        if hasattr(module, '_params_init_info'):
            update_init_info(module, init_info=self._get_init_info())

    def _check_variant(self, module: nn.Module, variants: tuple[str, ...]) -> None:
        if module.variant not in variants:
            own, *others = variants
            hint = ''.join(f" or '{other}'" for other in others)
            raise UserError(
                f"{self.checkpoint} is of the '{own}'{hint} variant, {type(module).__name__} of "
                f"the '{module.variant}' one, which pools on another grid or has another epsilon: "
                f"set variant='{own}'{hint}"
            )

    def _check_shapes(self, module: nn.Module, weights: Mapping[str, Tensor]) -> None:
        shapes = {
            key: tuple(value.shape)
            for key, value in module.state_dict().items()
            if not key.endswith('num_batches_tracked')  # many published files have none
        }
        faults = {
            key: f"'{key}' is {_shape(weights[key])}, not {shape}"
            if key in weights
            else f"no '{key}'"
            for key, shape in shapes.items()
            if key not in weights or _shape(weights[key]) != shape
        }
        if faults:
            under = '' if self.prefix is None else f' under the prefix {self.prefix!r}'
            raise UserError(
                f'{self.checkpoint} fits {len(shapes) - len(faults)} of the {len(shapes)} weights '
                f'of {type(module).__name__}{under} ({next(iter(faults.values()))}): give a '
                "checkpoint of this width and variant, with this network's own key names"
            )

    def _report(
        self, module: nn.Module, weights: Mapping[str, Tensor], published: PublishedWeights
    ) -> None:
        own = module.state_dict().keys()
        unused = [key for key in weights if key not in own]
        foreign = [key for key in unused if key.split('.')[0] not in module.network_children]
        print_log(
            f'{type(module).__name__} loaded {len(weights) - len(unused)} weights from '
            f'{self.checkpoint}; {len(unused) - len(foreign)} are of other layers of Inception-BN',
            logger='current',
        )
        if published.family != OWN:
            line = f'{self.checkpoint} has the names of {published.family} files'
            if published.classifier:
                line += f'; its classifier stays unused: {", ".join(published.classifier)}'
            if published.added:
                line += f'; {len(published.added)} convolutions in it have no bias: it is 0 here'
            print_log(line, logger='current')
        if foreign:
            print_log(
                f'{len(foreign)} weights of {self.checkpoint} are of no layer of Inception-BN and '
                f'stay unused: {", ".join(foreign)}',
                logger='current',
                level=logging.WARNING,
            )


def with_pretrained_layers(init_cfg: dict | list[dict] | None) -> list[dict]:
    """Replace ``Pretrained`` by `PretrainedLayers` in an ``init_cfg``, and put it last.

    Args:
        init_cfg (dict or list[dict], optional): The ``init_cfg``.

    Returns:
        list[dict]: The new one.
    """
    cfgs = [init_cfg] if isinstance(init_cfg, dict) else list(init_cfg or [])
    replaced = [
        dict(cfg, type=PretrainedLayers) if cfg['type'] in ('Pretrained', PretrainedInit) else cfg
        for cfg in cfgs
    ]
    return sorted(replaced, key=lambda cfg: cfg['type'] is PretrainedLayers)


def _shape(value: Any) -> tuple[int, ...] | None:
    return tuple(value.shape) if isinstance(value, Tensor) else None
