"""The loss of localization distillation."""

from mmdet.registry import MODELS
from torch import Tensor

from nst_det.config.validators import check_choice, check_number
from nst_det.models.losses.base import LogitLoss
from nst_det.models.losses.kd_loss import kd_divergence

MODES = ('paper', 'code')


@MODELS.register_module()
class LDLoss(LogitLoss):
    r"""Localization distillation, `Localization Distillation for Dense Object Detection
    <https://arxiv.org/abs/2102.12252>`_ (Zheng et al. 2022, section 3), for GFL and its relatives.

    .. math:: L = λ \Bigl(\frac{\sum_r w_r D_r}{\sum_r w_r} + ν \frac{\sum_r u_r D_r}{\sum_r u_r}
        \Bigr) \quad\text{with}\quad
        D_r = \frac{1}{4} \sum_e τ^2 \, \mathrm{KL}(p_T^{r,e} ‖ p_S^{r,e})

    and p the distribution over the places of an edge e of the box at the position r. The first sum
    is over the main distillation region: the positions that the student's assigner gives to an
    object. w is the student's own largest class score, as in the student's box losses. The second
    sum is over the valuable localization region: the positions around it, whose anchors lie near an
    object but not near enough to be assigned it. u is their IoU with the object. The paper does not
    give the weights within a region; w and u are those of the authors' code.

    That code takes sums in place of the weighted means, and the mean over the places of an edge in
    place of the sum: ``mode='code'``, with ``vlr_weight=0.25``. mmdet's ``LDHead`` has the main
    region alone: ``mode='code', vlr_weight=0``. The paper combines LD with KD on the main region;
    here :class:`KDLoss` is another transfer.

    Args:
        loss_weight (float, str or dict): λ, at least 0, or ``'auto'``. Defaults to 0.25, the
            authors' value.
        temperature (float): τ, greater than 0. Defaults to 10.0.
        mode (str): ``'paper'`` or ``'code'``. Defaults to ``'paper'``.
        vlr_weight (float): ν, at least 0. With 0 the valuable localization region is left out.
            Otherwise the student needs an ``ATSSAssigner``. Defaults to 1.0.

    Raises:
        UserError: If an option is wrong.
    """

    compares = 'distributions'
    method = 'ld'
    measure = 'edgekl'
    title = 'KL divergence between the edges of boxes (LD)'
    unit = 'KL divergence of the edges'
    meaning = 'Lower: the student is as sure of the edges of a box as the teacher is.'

    def __init__(
        self,
        loss_weight: float | str | dict = 0.25,
        temperature: float = 10.0,
        mode: str = 'paper',
        vlr_weight: float = 1.0,
    ) -> None:
        super().__init__(loss_weight)
        self.temperature = check_number('temperature', temperature, above=0)
        self.mode = check_choice('mode', mode, MODES)
        self.vlr_weight = check_number('vlr_weight', vlr_weight, minimum=0)

    def forward(
        self, student: Tensor, teacher: Tensor, weights: Tensor, valuable: Tensor | None = None
    ) -> Tensor:
        """Compute λ times the weighted divergence of the edges.

        Args:
            student (Tensor): The student's logits over the places of each edge, `(R, 4, P)`.
            teacher (Tensor): The teacher's, `(R, 4, P)`.
            weights (Tensor): w, `(R,)`; 0 outside the main region.
            valuable (Tensor, optional): u, `(R,)`; 0 outside the valuable localization region.
                Defaults to None: there is none.

        Returns:
            Tensor: The loss, a scalar; 0 if there are no positions.
        """
        edges = kd_divergence(student.flatten(0, 1), teacher.flatten(0, 1), self.temperature)
        divergence = edges.view(-1, 4).mean(1)
        if self.mode == 'code':
            divergence = divergence / student.shape[2]
        total = self._over_region(divergence, weights)
        if valuable is not None:
            total = total + self.vlr_weight * self._over_region(divergence, valuable)
        return self.loss_weight * total

    def _over_region(self, divergence: Tensor, weights: Tensor) -> Tensor:
        """The weighted mean of the divergence over a region; in the authors' code the sum."""
        weights = weights.to(divergence.dtype)
        total = (weights * divergence).sum()
        return total if self.mode == 'code' else total / weights.sum().clamp(min=1e-6)

    def extra_repr(self) -> str:
        options = f'temperature={self.temperature}, mode={self.mode!r}'
        return f'{super().extra_repr()}, {options}, vlr_weight={self.vlr_weight}'
