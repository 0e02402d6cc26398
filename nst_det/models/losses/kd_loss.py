"""The loss of knowledge distillation by softened logits."""

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from torch import Tensor

from nst_det.config.validators import check_number
from nst_det.models.losses.base import LogitLoss
from nst_det.models.losses.float32 import in_float32


def kd_divergence(
    student: Tensor, teacher: Tensor, temperature: float = 1.0, sigmoid: bool = False
) -> Tensor:
    """Compute the KL divergence between the softened classifications of teacher and student.

    T² · KL(p(teacher / T) ‖ p(student / T)) with p the softmax over the classes (Hinton et al.
    2015, https://arxiv.org/abs/1503.02531, section 2; its cross-entropy differs by a constant). If
    each class has its own sigmoid, it is the sum over the classes of the divergences between these
    two-way classifications.

    Args:
        student (Tensor): The student's logits, `(R, K)`.
        teacher (Tensor): The teacher's logits, `(R, K)`.
        temperature (float): T, greater than 0. Defaults to 1.0.
        sigmoid (bool): Whether each class has its own sigmoid. Defaults to False.

    Returns:
        Tensor: The divergence of each row, `(R,)`, at least 0 (to rounding).
    """
    student, teacher = (logits / temperature for logits in in_float32(student, teacher))
    if sigmoid:
        p = teacher.sigmoid()
        yes = F.logsigmoid(teacher) - F.logsigmoid(student)
        no = F.logsigmoid(-teacher) - F.logsigmoid(-student)
        divergence = (p * yes + (1 - p) * no).sum(1)
    else:
        log_p = teacher.log_softmax(1)
        divergence = (log_p.exp() * (log_p - student.log_softmax(1))).sum(1)
    return temperature**2 * divergence


@MODELS.register_module()
class KDLoss(LogitLoss):
    r"""Knowledge distillation, `Distilling the Knowledge in a Neural Network
    <https://arxiv.org/abs/1503.02531>`_ (Hinton et al. 2015), for detectors.

    .. math:: L = λ \, T^2 \cdot \frac{1}{R} \sum_r \mathrm{KL}(p_T^r ‖ p_S^r)

    over the classification of R regions: by a RoI head, the student's sampled RoIs; by a one-stage
    head, every position inside the images. Most of those positions are background, so there the sum
    is divided by the number of positions on objects that the teacher expects (at least 1), as
    detection losses divide by the number of positives.

    With the T² inside, ``loss_weight=1`` at T = 4 is the weight of 16 that classification papers
    write before the plain cross-entropy.

    Args:
        loss_weight (float, str or dict): λ, at least 0, or ``'auto'``. Defaults to 1.0.
        temperature (float): T, greater than 0. Defaults to 4.0.

    Raises:
        UserError: If an option is out of range.
    """

    method = 'kd'
    measure = 'kl'
    title = 'KL divergence from the teacher (KD)'
    unit = 'KL divergence'
    meaning = 'Lower: the student classifies more like the teacher.'

    def __init__(self, loss_weight: float | str | dict = 1.0, temperature: float = 4.0) -> None:
        super().__init__(loss_weight)
        self.temperature = check_number('temperature', temperature, above=0)

    def forward(
        self,
        student: Tensor,
        teacher: Tensor,
        sigmoid: bool = False,
        regions: Tensor | float | None = None,
    ) -> Tensor:
        """Compute λ times the sum of the rows' :func:`kd_divergence`, over a divisor.

        Args:
            student (Tensor): The student's logits, `(R, K)`.
            teacher (Tensor): The teacher's logits, `(R, K)`.
            sigmoid (bool): Whether each class has its own sigmoid. Defaults to False.
            regions (Tensor or float, optional): The divisor. Defaults to None: R, at least 1.

        Returns:
            Tensor: The loss, a scalar.
        """
        with torch.autocast(student.device.type, enabled=False):
            divergence = kd_divergence(student, teacher, self.temperature, sigmoid)
        divisor = max(len(student), 1) if regions is None else regions
        return self.loss_weight * divergence.sum() / divisor

    def extra_repr(self) -> str:
        return f'{super().extra_repr()}, temperature={self.temperature}'
