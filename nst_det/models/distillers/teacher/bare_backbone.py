"""A teacher that is no detector: a backbone with a data preprocessor, and nothing on top."""

from collections.abc import Mapping
from typing import Any

from mmdet.models.detectors.base import BaseDetector
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from torch import Tensor

from nst_det.config.detector import detector_config
from nst_det.config.validators import check_typed_dict
from nst_det.errors import UserError


@MODELS.register_module()
class BareBackbone(BaseDetector):
    """A backbone that computes feature maps and detects nothing.

    Its layers are named as in a detector: ``'backbone.layer3'``, ``'backbone[1]'``, or
    ``'backbone/16'`` for the feature map of stride 16.

    Args:
        backbone (dict): The config of any backbone in mmdet's registry.
        data_preprocessor (dict, optional): The config of its data preprocessor. Defaults to None:
            that of the weights of a :class:`TIMMBackbone`, with images padded to multiples of its
            largest stride.

    Raises:
        UserError: If the normalisation of the images is not known.
    """

    def __init__(self, backbone: dict, data_preprocessor: dict | None = None) -> None:
        network = MODELS.build(backbone)
        if data_preprocessor is None:
            if not hasattr(network, 'preprocess'):
                raise UserError(
                    'teacher has no data_preprocessor, and its backbone '
                    f'{backbone["type"]} does not tell how its images are normalised: give '
                    "data_preprocessor=dict(type='DetDataPreprocessor', mean=…, std=…, "
                    'bgr_to_rgb=…, pad_size_divisor=…)',
                    'teacher.data_preprocessor',
                )
            data_preprocessor = dict(
                type='mmdet.DetDataPreprocessor',
                pad_size_divisor=max(network.strides),
                **network.preprocess,
            )
        super().__init__(data_preprocessor=data_preprocessor)
        self.backbone = network

    def extract_feat(self, batch_inputs: Tensor) -> Any:
        """Compute the feature maps.

        Args:
            batch_inputs (Tensor): The preprocessed images, `(N, 3, H, W)`.

        Returns:
            Any: What the backbone returns, most often a tuple of `(N, C, h, w)`.
        """
        return self.backbone(batch_inputs)

    def _forward(self, batch_inputs: Tensor, batch_data_samples: Any = None) -> Any:
        return self.extract_feat(batch_inputs)

    def loss(self, batch_inputs: Tensor, batch_data_samples: Any) -> dict:
        """Refuse: there is no head."""
        raise NotImplementedError('a bare backbone has no loss')

    def predict(self, batch_inputs: Tensor, batch_data_samples: Any) -> Any:
        """Refuse: there is no head."""
        raise NotImplementedError('a bare backbone detects nothing')


def teacher_model(teacher: Mapping[str, Any]) -> ConfigDict:
    """Find the model dict of a teacher.

    Args:
        teacher (Mapping[str, Any]): The ``teacher`` option of a distiller: its ``config``, or its
            ``backbone`` and ``data_preprocessor``, count.

    Returns:
        ConfigDict: The model dict of the detector, or of a :class:`BareBackbone`.

    Raises:
        UserError: If there is neither, or both, or something else.
    """
    backbone, config = teacher.get('backbone'), teacher.get('config')
    if backbone is None and config is None:
        raise UserError(
            'teacher has no config: give a path, an mmdet::… name or a model dict; or '
            'backbone=dict(type=…) for a network that is no detector',
            'teacher.config',
        )
    if backbone is None:
        return detector_config(config)
    if config is not None:
        raise UserError(
            'teacher has both config and backbone: give the config of a detector, or the '
            'backbone of a teacher that is none',
            'teacher.backbone',
        )
    check_typed_dict('teacher.backbone', backbone)
    model = dict(type='BareBackbone', backbone=backbone)
    if teacher.get('data_preprocessor') is not None:
        check_typed_dict('teacher.data_preprocessor', teacher['data_preprocessor'])
        model['data_preprocessor'] = teacher['data_preprocessor']
    return ConfigDict(model)


def brings_weights(backbone: Mapping[str, Any]) -> bool:
    """Tell whether the config of a backbone names the weights that it loads by itself.

    Args:
        backbone (Mapping[str, Any]): The config.

    Returns:
        bool: Whether it does: by ``pretrained``, ``checkpoint`` or a ``Pretrained`` ``init_cfg``.
    """
    init_cfg = backbone.get('init_cfg') or []
    inits = [init_cfg] if isinstance(init_cfg, Mapping) else init_cfg
    return bool(backbone.get('pretrained') or backbone.get('checkpoint')) or any(
        isinstance(init, Mapping) and init.get('type') == 'Pretrained' for init in inits
    )
