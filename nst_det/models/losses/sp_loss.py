"""The loss of similarity-preserving distillation."""

from mmdet.registry import MODELS
from torch import Tensor

from nst_det.models.losses.base import FeatureLoss
from nst_det.models.losses.connectors import Connector
from nst_det.models.losses.positions import unit_vectors


@MODELS.register_module()
class SPLoss(FeatureLoss):
    r"""Similarity-preserving distillation, `Similarity-Preserving Knowledge Distillation
    <https://arxiv.org/abs/1907.09682>`_ (Tung & Mori 2019, section 3.1).

    .. math:: L = γ \cdot \frac{1}{b^2} ‖G_T − G_S‖_F^2

    with G the b × b matrix of the inner products of the complete feature maps of the b images of a
    batch, each row divided by its norm. Images that are alike to the teacher are to be alike to the
    student. A batch of one image has nothing to compare, and a loss of 0.

    The channel counts may differ; no connector is needed.

    Args:
        loss_weight (float, str or dict): γ, at least 0, or ``'auto'``. Defaults to 3000.0,
            the paper's value for batches of 128 images; smaller batches need smaller weights.
        connector (dict or Connector, optional): Converts the student's feature map first. Defaults
            to None.

    Raises:
        UserError: If an option is wrong.
    """

    method = 'sp'
    measure = 'similarity'
    title = 'Distance of the similarities of images (SP)'
    unit = 'distance of the similarities'
    meaning = 'Lower: images that are alike to the teacher are alike to the student.'

    def __init__(
        self, loss_weight: float | str | dict = 3000.0, connector: dict | Connector | None = None
    ) -> None:
        super().__init__(loss_weight, connector)

    def distance(self, student: Tensor, teacher: Tensor, mask: Tensor | None) -> Tensor:
        """Compute the mean squared difference of the two similarity matrices."""
        student, teacher = (_similarities(feature_map) for feature_map in (student, teacher))
        return (student - teacher).square().mean().reshape(1)


def _similarities(feature_map: Tensor) -> Tensor:
    """The inner products of the images, each row of norm 1, `(N, N)`."""
    rows = feature_map.flatten(1)
    return unit_vectors(rows @ rows.T, 1)
