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

    .. math:: L = λ \cdot \frac{1}{\sum_r w_r} \sum_r w_r \cdot
        \frac{1}{4} \sum_e τ^2 \, \mathrm{KL}(p_T^{r,e} ‖ p_S^{r,e})

    over the positions r that the student's assigner gives to an object (the paper's main
    distillation region), with p the distribution over the places of an edge e of the box, and w the
    student's own largest class score, as in the student's box losses.

    mmdet's ``LDHead`` takes the mean over the places of an edge in place of the sum, and does not
    divide by the sum of the weights: ``mode='code'``.

    Args:
        loss_weight (float, str or dict): λ, at least 0, or ``'auto'``. Defaults to 0.25, the
            authors' value.
        temperature (float): τ, greater than 0. Defaults to 10.0.
        mode (str): ``'paper'`` or ``'code'``. Defaults to ``'paper'``.

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
        self, loss_weight: float | str | dict = 0.25, temperature: float = 10.0, mode: str = 'paper'
    ) -> None:
        super().__init__(loss_weight)
        self.temperature = check_number('temperature', temperature, above=0)
        self.mode = check_choice('mode', mode, MODES)

    def forward(self, student: Tensor, teacher: Tensor, weights: Tensor) -> Tensor:
        """Compute λ times the weighted divergence of the edges.

        Args:
            student (Tensor): The student's logits over the places of each edge, `(R, 4, P)`.
            teacher (Tensor): The teacher's, `(R, 4, P)`.
            weights (Tensor): w, `(R,)`.

        Returns:
            Tensor: The loss, a scalar; 0 if there are no positions.
        """
        rows = kd_divergence(student.flatten(0, 1), teacher.flatten(0, 1), self.temperature)
        total = (weights.to(rows.dtype) * rows.view(-1, 4).mean(1)).sum()
        if self.mode == 'code':
            total = total / student.shape[2]
        else:
            total = total / weights.to(rows.dtype).sum().clamp(min=1e-6)
        return self.loss_weight * total

    def extra_repr(self) -> str:
        return f'{super().extra_repr()}, temperature={self.temperature}, mode={self.mode!r}'
