"""Initializing some layers of Inception-BN from a checkpoint of the whole network."""

import logging
from collections.abc import Collection, Mapping
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
    """Loads a module's share of a checkpoint, which has to hold every weight of it.

    mmengine's ``Pretrained`` logs what it could not load and trains on with random weights; this
    is what `InceptionSequence` puts in its place. Weights of the network's other layers are left
    to the module that has them; those of no layer, such as a classifier's, are named in a warning.
    The file may have this package's names, or those of published ones: see `read_published`.

    Args:
        checkpoint (str): Path or URL.
        prefix (str, optional): Of the keys to read, such as ``'backbone.'``. Defaults to None.
        map_location (str): Unused but by mmengine: weights are read onto the CPU.
    """

    def __call__(self, module: nn.Module) -> None:
        """Load into an `InceptionSequence`.

        Raises:
            UserError: If the file does not hold every weight of the module in its shape, or is of
                the other variant. The module is unchanged then.
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
        self._check_variant(module, weights)
        self._check_shapes(module, weights)
        self._report(module, weights, published)
        share = {key: weights[key] for key in module.state_dict() if key in weights}
        module.load_state_dict(share)
        if hasattr(module, '_params_init_info'):
            update_init_info(module, init_info=self._get_init_info())

    def _check_variant(self, module: nn.Module, weights: Mapping[str, Tensor]) -> None:
        # The shapes are the same in both variants, so the tail could not tell them apart by these.
        if not any(key.startswith('conv1.') for key in weights):
            return
        found = 'mxnet' if any(key.startswith('bn_data.') for key in weights) else 'caffe'
        if found != module.variant:
            raise UserError(
                f"{self.checkpoint} is of the '{found}' variant, {type(module).__name__} of the "
                f"'{module.variant}' one, which pools on another grid: set variant='{found}'"
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
        other = [key for key in weights if key not in own]
        foreign = [key for key in other if not _belongs(key, module.network_children)]
        print_log(
            f'{type(module).__name__} loaded {len(weights) - len(other)} weights from '
            f'{self.checkpoint}; {len(other) - len(foreign)} are of other layers of Inception-BN',
            logger='current',
        )
        if published.family != OWN:
            unused = ', '.join(published.classifier)
            print_log(
                f'{self.checkpoint} has the names of {published.family} files'
                + (f'; its classifier stays unused: {unused}' if unused else '')
                + (
                    f'; {len(published.added)} convolutions in it have no bias, 0 here'
                    * bool(published.added)
                ),
                logger='current',
            )
        if foreign:
            print_log(
                f'{len(foreign)} weights of {self.checkpoint} are of no layer of Inception-BN and '
                f'stay unused: {", ".join(foreign)}',
                logger='current',
                level=logging.WARNING,
            )


def with_pretrained_layers(init_cfg: dict | list[dict] | None) -> list[dict]:
    """Let `PretrainedLayers` do what a config asks of mmengine's ``Pretrained``, and do it last."""
    cfgs = [init_cfg] if isinstance(init_cfg, dict) else list(init_cfg or [])
    replaced = [
        dict(cfg, type=PretrainedLayers) if cfg['type'] in ('Pretrained', PretrainedInit) else cfg
        for cfg in cfgs
    ]
    return sorted(replaced, key=lambda cfg: cfg['type'] is PretrainedLayers)


def _belongs(key: str, children: Collection[str]) -> bool:
    return key.split('.')[0] in children


def _shape(value: Any) -> tuple[int, ...] | None:
    return tuple(value.shape) if isinstance(value, Tensor) else None
