"""The loss of knowledge distillation by softened class scores."""

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from torch import Tensor

from nst_det.models.losses.base import LogitLoss


def kd_divergence(
    student: Tensor, teacher: Tensor, temperature: float = 1.0, sigmoid: bool = False
) -> Tensor:
    """Kullback–Leibler divergence of the student's softened classification from the teacher's.

    T² · KL(p(teacher / T) ‖ p(student / T)) with p the softmax over the classes (Hinton et al.
    2015, https://arxiv.org/abs/1503.02531, section 2; its cross-entropy differs by a constant), or,
    where each class has a sigmoid of its own, the sum over the classes of the divergences of these
    two-way choices.

    Args:
        student (Tensor): The student's class scores before softmax or sigmoid, `(R, K)`.
        teacher (Tensor): The teacher's, `(R, K)`.
        temperature (float): T, greater than 0. Defaults to 1.0.
        sigmoid (bool): Whether each class has a sigmoid of its own. Defaults to False.

    Returns:
        Tensor: The divergence of each row, `(R,)`, at least 0 (to rounding).
    """
    dtype = torch.promote_types(torch.promote_types(student.dtype, teacher.dtype), torch.float32)
    student, teacher = student.to(dtype) / temperature, teacher.to(dtype) / temperature
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

    over the classification of R regions: the RoI head's, on the student's own sampled RoIs, or a
    one-stage head's at every position inside the images. There most positions are background, so
    the sum is divided by the number of objects' positions that the teacher expects (at least 1), as
    detection losses divide by that of positives.

    With the T² inside, ``loss_weight=1`` at T = 4 is the weight of 16 that classification papers
    write before the bare cross-entropy.

    Args:
        loss_weight (float): λ, at least 0. Defaults to 1.0.
        temperature (float): T, greater than 0. Defaults to 4.0.

    Raises:
        UserError: Where an option is out of range.
    """

    method = 'kd'
    measure = 'kl'
    title = 'KL divergence from the teacher (KD)'
    unit = 'KL divergence'
    meaning = 'Lower: the student classifies more like the teacher.'

    def __init__(self, loss_weight: float = 1.0, temperature: float = 4.0) -> None:
        super().__init__(loss_weight)
        self.temperature = self._number('temperature', temperature, above=0)

    def forward(
        self,
        student: Tensor,
        teacher: Tensor,
        sigmoid: bool = False,
        regions: Tensor | float | None = None,
    ) -> Tensor:
        """λ times the sum of the rows' :func:`kd_divergence`, divided.

        Args:
            student (Tensor): The student's class scores before softmax or sigmoid, `(R, K)`.
            teacher (Tensor): The teacher's, `(R, K)`.
            sigmoid (bool): Whether each class has a sigmoid of its own. Defaults to False.
            regions (Tensor or float, optional): What the sum is divided by. Defaults to None: R,
                or 1 where there is none.

        Returns:
            Tensor: The loss, a scalar.
        """
        with torch.autocast(student.device.type, enabled=False):
            divergence = kd_divergence(student, teacher, self.temperature, sigmoid)
        divisor = max(len(student), 1) if regions is None else regions
        return self.loss_weight * divergence.sum() / divisor

    def extra_repr(self) -> str:
        return f'{super().extra_repr()}, temperature={self.temperature}'
