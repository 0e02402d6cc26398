"""Any network of timm as a backbone."""

from collections.abc import Sequence
from typing import Any

from mmdet.registry import MODELS
from mmengine.model import BaseModule, update_init_info
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from nst_det.config.validators import check_flag, check_path, wrong_value
from nst_det.errors import UserError, one_line
from nst_det.models.backbones.timm_backbone.efficientnet_lite import (
    PREPROCESS,
    installed_weights,
    package_of,
)
from nst_det.models.backbones.timm_backbone.networks import build_network, stages
from nst_det.models.backbones.timm_backbone.pretrained import load_published, load_weights


@MODELS.register_module()
class TIMMBackbone(BaseModule):
    """A network of `timm <https://github.com/huggingface/pytorch-image-models>`_ as a backbone.

    timm's ``features_only`` chooses the feature maps: of a convolutional network one per stride, of
    a transformer the outputs of blocks, laid out as `(N, C, H, W)`. What no feature map needs, such
    as the classifier, is not built. The network is the child ``network`` and keeps timm's names, so
    that ``backbone.network.blocks.4`` is a tap. It takes images of any size; hybrids
    of a ResNet and a ViT need multiples of their stride: ``pad_size_divisor`` of mmdet's data
    preprocessors pads to them.

    Args:
        model_name (str): timm's name, such as ``'tf_efficientnet_lite2'``, ``'resnet50'`` or
            ``'vit_small_patch14_dinov2'``.
        out_indices (Sequence[int], optional): Which of timm's feature maps to return, counted from
            0, or from -1 backwards. Defaults to None, timm's choice: all of a convolutional
            network, the last three blocks of a transformer.
        pretrained (str or bool): ``'efficientnet-lite0'``, ``'…-lite1'`` or ``'…-lite2'`` takes the
            ImageNet weights of the installed package of this name: see
            :func:`~nst_det.models.backbones.timm_backbone.efficientnet_lite.installed_weights`.
            True lets timm download its own weights of ``model_name``. Defaults to False.
        checkpoint (str, optional): Path or URL of a file of weights, with timm's names or the
            published ones that timm converts, ``.pth`` or ``.safetensors``. It must hold every
            weight of the network; those of the classifier stay unused. Defaults to None.
        frozen_stages (int): Parts up to this one stay in eval mode and get no gradients: 0 is the
            stem (or the embedding of a transformer), 1 the first stage (or block), and so on, as
            timm groups the parameters. Defaults to -1, nothing.
        norm_eval (bool): Whether the batch norms use their running statistics also in training.
            Defaults to False.
        init_cfg (dict, optional): ``dict(type='Pretrained', checkpoint=…)`` is another spelling of
            ``checkpoint``. Defaults to None: without weights, timm's own initialization.
        **kwargs: Further arguments of timm's network, such as ``drop_path_rate`` or ``img_size``.

    Attributes:
        channels (tuple[int, ...]): C of each feature map.
        strides (tuple[int, ...]): Image pixels per position of each feature map.
        preprocess (dict): ``mean``, ``std`` (of RGB 0-255) and ``bgr_to_rgb`` as the weights expect
            them: arguments of mmdet's data preprocessors.

    Raises:
        UserError: If timm is not installed or does not know the name, or an argument is not valid.
    """

    def __init__(
        self,
        model_name: str,
        out_indices: Sequence[int] | None = None,
        pretrained: str | bool = False,
        checkpoint: str | None = None,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        init_cfg: dict | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if init_cfg is not None:
            if checkpoint is not None or init_cfg.get('type') != 'Pretrained':
                raise wrong_value(
                    'TIMMBackbone.init_cfg',
                    init_cfg,
                    "None, or dict(type='Pretrained', checkpoint=…) without another checkpoint",
                )
            checkpoint = init_cfg['checkpoint']
        if checkpoint is not None:
            check_path('TIMMBackbone.checkpoint', checkpoint, 'a path or URL')
            if pretrained:
                raise UserError(
                    f'TIMMBackbone has pretrained={pretrained!r} and checkpoint={checkpoint!r}: '
                    'give one of them',
                    'TIMMBackbone.pretrained',
                )
        check_flag('TIMMBackbone.norm_eval', norm_eval)
        if isinstance(pretrained, str):
            package_of(pretrained)  # needed only where nothing else brings the weights
        self.model_name = model_name
        self.pretrained = pretrained
        self.checkpoint = checkpoint
        self.kwargs = kwargs
        built = build_network(model_name, out_indices, **kwargs)
        self.network = built.network
        self.out_indices = built.out_indices
        self.channels, self.strides = built.channels, built.strides
        self.preprocess = dict(PREPROCESS) if isinstance(pretrained, str) else built.preprocess
        self.norm_eval = norm_eval
        self.frozen_modules = self._modules_to_freeze(frozen_stages)
        self._freeze()

    def _modules_to_freeze(self, frozen_stages: int) -> list[str]:
        """The names of the modules, each with parameters of its own, up to a stage."""
        groups = stages(self.network)
        if isinstance(frozen_stages, bool) or frozen_stages not in range(-1, len(groups)):
            raise wrong_value(
                'TIMMBackbone.frozen_stages',
                frozen_stages,
                f'-1 to {len(groups) - 1} for {self.model_name}: 0 is the stem, '
                f'{len(groups) - 1} the last stage',
            )
        return [name for group in groups[: frozen_stages + 1] for name in group]

    def _freeze(self) -> None:
        modules = dict(self.network.named_modules())
        for name in self.frozen_modules:
            owner, _, parameter = name.rpartition('.')
            modules[owner].eval()
            getattr(modules[owner], parameter).requires_grad_(False)

    def train(self, mode: bool = True) -> 'TIMMBackbone':
        """Set the mode. Frozen stages, and batch norms with ``norm_eval``, stay in eval mode."""
        super().train(mode)
        self._freeze()
        if self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def init_weights(self) -> None:
        """Load the weights that were asked for; else keep timm's initialization.

        Raises:
            UserError: If the package of the weights is not installed, or the file does not hold
                every weight of the network in its shape. The network is unchanged then.
        """
        checkpoint = self.checkpoint
        if isinstance(self.pretrained, str):
            checkpoint = installed_weights(self.pretrained)
        if checkpoint is not None:
            load_weights(self.network, self.model_name, checkpoint)
        elif self.pretrained:
            load_published(self.network, self.model_name, self.kwargs)
        if hasattr(self, '_params_init_info'):
            source = checkpoint or ('timm' if self.pretrained else 'initialized by timm')
            update_init_info(self, init_info=f'{self.model_name}: {source}')

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Extract feature maps.

        Args:
            x (Tensor): Images `(N, 3, H, W)`, normalised as ``preprocess`` says.

        Returns:
            tuple[Tensor, ...]: The feature maps `(N, C, h, w)`, in the order of ``out_indices``.

        Raises:
            UserError: If the network cannot take images of this size.
        """
        try:
            feature_maps = tuple(self._extract(x))
        except (AssertionError, RuntimeError) as error:
            if all(side % stride == 0 for side in x.shape[2:] for stride in self.strides):
                raise
            raise self._size_error(x, one_line(error)) from error
        channels = tuple(feature_map.shape[1] for feature_map in feature_maps)
        if channels != self.channels:  # hybrid transformers mix up tokens at odd sizes
            raise self._size_error(x, f'its feature maps have {channels} channels')
        return feature_maps

    def _size_error(self, x: Tensor, reason: str) -> UserError:
        height, width = x.shape[2:]
        return UserError(
            f'{self.model_name} cannot take images of {height} × {width} pixels ({reason}), '
            f'expected multiples of {max(self.strides)}: set pad_size_divisor='
            f'{max(self.strides)} in its data_preprocessor'
        )

    def _extract(self, x: Tensor) -> list[Tensor]:
        if not hasattr(self.network, 'forward_intermediates'):
            return self.network(x)  # one of timm's own extractors
        return self.network.forward_intermediates(
            x, indices=self.out_indices, output_fmt='NCHW', intermediates_only=True
        )
