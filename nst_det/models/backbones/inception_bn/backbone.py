"""The Inception-BN backbone."""

from collections.abc import Sequence

from mmdet.registry import MODELS
from torch import Tensor

from nst_det.config.validators import check_choice, wrong_value
from nst_det.models.backbones.inception_bn.blocks import InceptionSequence, TapInfo, layer_taps
from nst_det.models.backbones.inception_bn.specs import LAYERS


@MODELS.register_module()
class InceptionBN(InceptionSequence):
    """Inception-BN, the backbone of `Batch Normalization <https://arxiv.org/abs/1502.03167>`_.

    It takes an image of any size, from one pixel on. Only the layers up to the deepest of
    ``out_layers`` are built. The children are ``conv1``, ``conv2``, ``inception_3a`` ...
    ``inception_5b``, so that ``backbone.inception_4b`` is the tap 4b; `taps` lists them all.

    Args:
        variant (str): The family of weights that the geometry follows. ``'caffe'``, that of the
            PyTorch ``bninception`` files, takes BGR 0-255 with mean [104, 117, 128] subtracted and
            std 1. ``'mxnet'``, that of the NST authors, takes RGB 0-255 as it is, through an input
            batch norm ``bn_data`` whose weight is 1 and is not trained. ``'mxnet_zoo'``, that of
            MXNet's own model zoo, has the pools of ``'mxnet'`` and no ``bn_data``. Weights of one
            variant do not work in another, because sampling grids or ε differ. Defaults to
            ``'caffe'``.
        width (float): Factor on the channels of the stem and of every branch, each rounded to a
            multiple of 8 and at least 8. Defaults to 1.0.
        out_layers (Sequence[str]): The feature maps to return, by name: ``'conv1'``, ``'conv2'``,
            ``'3a'`` ... ``'5b'``. Defaults to ``('4b',)``.
        frozen_stages (int): Stages up to this one stay in eval mode and get no gradients: 1 is
            conv1 (and ``bn_data``), 2 is conv2, 3 is 3a to 3c, 4 is 4a to 4e, 5 is 5a and 5b.
            Counted over the complete network, so that backbone and tail take the same number.
            Defaults to -1, nothing.
        norm_eval (bool): Whether the batch norms use their running statistics also in training.
            Defaults to False.
        norm_cfg (dict): Config of the norm layers after the convolutions, such as ``SyncBN`` or
            ``GN``. ``eps`` is 2e-5 (mxnet) or 1e-5 (the others) unless given. Defaults to
            ``dict(type='BN')``.
        init_cfg (dict | list[dict], optional): Initialization. ``dict(type='Pretrained',
            checkpoint=...)`` takes a file of the complete network, which must hold every weight of
            the backbone. Defaults to None: Kaiming for convolutions, 1 for norms.

    Raises:
        UserError: If an argument is not valid.
    """

    def __init__(
        self,
        variant: str = 'caffe',
        width: float = 1.0,
        out_layers: Sequence[str] = ('4b',),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        norm_cfg: dict = dict(type='BN'),  # noqa: B006  (mmdet's idiom; never written to)
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        if isinstance(out_layers, str) or not out_layers:
            raise wrong_value(
                'InceptionBN.out_layers', out_layers, "a list of names, such as ('4b',)"
            )
        for name in out_layers:
            check_choice('InceptionBN.out_layers', name, LAYERS)
        depth = 1 + max(LAYERS.index(name) for name in out_layers)
        super().__init__(
            LAYERS[:depth], variant, width, frozen_stages, norm_eval, norm_cfg, init_cfg
        )
        taps = self.taps(width)
        self.out_children = tuple(taps[name].module for name in out_layers)

    @staticmethod
    def taps(width: float = 1.0) -> dict[str, TapInfo]:
        """List the feature maps that `out_layers` can name.

        Args:
            width (float): The backbone's width. Defaults to 1.0.

        Returns:
            dict[str, TapInfo]: By layer name, in the order of the network: the child ``module``
            whose output it is, its ``channels`` and its ``stride``. ``conv1`` and ``conv2`` are
            the feature maps after their max pool.

        Example:
            >>> InceptionBN.taps()['4b']
            TapInfo(module='inception_4b', channels=576, stride=16)
        """
        return layer_taps(width)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Extract feature maps.

        Args:
            x (Tensor): Images `(N, 3, H, W)`, preprocessed as the variant needs.

        Returns:
            tuple[Tensor, ...]: The feature maps `(N, C, h, w)`, in the order of ``out_layers``.
        """
        outputs = {}
        for name, layer in self.named_children():
            x = layer(x)
            if name in self.out_children:
                outputs[name] = x
        return tuple(outputs[name] for name in self.out_children)
