"""The second half of Inception-BN, which runs on each RoI."""

from mmdet.registry import MODELS
from torch import Tensor

from nst_det.models.backbones.inception_bn.blocks import InceptionSequence, layer_taps
from nst_det.models.backbones.inception_bn.specs import LAYERS


@MODELS.register_module()
class InceptionBNTail(InceptionSequence):
    """Blocks 4c to 5b of `InceptionBN`, as the shared head of a C4-style RoI head.

    It has the role of ``ResLayer`` in ResNet-C4: it takes RoI features of 4b, and a box head with
    ``with_avg_pool=True`` follows. The children are named as in the complete network,
    ``inception_4c`` ... ``inception_5b``, so backbone and tail load from one checkpoint.

    Args:
        variant (str): ``'caffe'``, ``'mxnet'`` or ``'mxnet_zoo'``, as in the backbone. Defaults to
            ``'caffe'``.
        width (float): Factor on the channels, as in the backbone. Defaults to 1.0.
        frozen_stages (int): Stages up to this one stay in eval mode and get no gradients, counted
            as in the backbone: 4 is 4c to 4e, 5 is all, less is nothing. Defaults to -1.
        norm_eval (bool): Whether the batch norms use their running statistics also in training.
            Defaults to False.
        norm_cfg (dict): Config of the norm layers. ``eps`` is 1e-5 (caffe) or 2e-5 (mxnet) unless
            given. Defaults to ``dict(type='BN')``.
        init_cfg (dict | list[dict], optional): Initialization. ``dict(type='Pretrained',
            checkpoint=...)`` takes a file of the complete network, which must hold every weight of
            the tail. Defaults to None: Kaiming for convolutions, 1 for norms.

    Attributes:
        in_channels (int): Channels of the RoI features, those of 4b: 576 at width 1.
        out_channels (int): Channels of the output, those of 5b: 1024 at width 1.

    Raises:
        UserError: If an argument is not valid.
    """

    def __init__(
        self,
        variant: str = 'caffe',
        width: float = 1.0,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        norm_cfg: dict = dict(type='BN'),  # noqa: B006  (mmdet's idiom; never written to)
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        layers = LAYERS[LAYERS.index('4c') :]
        super().__init__(layers, variant, width, frozen_stages, norm_eval, norm_cfg, init_cfg)
        taps = layer_taps(width)
        self.in_channels = taps['4b'].channels
        self.out_channels = taps['5b'].channels

    def forward(self, x: Tensor) -> Tensor:
        """Run the blocks on RoI features.

        Args:
            x (Tensor): Features of 4b for each RoI, `(R, in_channels, h, w)`.

        Returns:
            Tensor: `(R, out_channels, ⌈h/2⌉, ⌈w/2⌉)`.
        """
        for layer in self.children():
            x = layer(x)
        return x
