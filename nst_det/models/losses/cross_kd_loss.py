"""The loss of cross-head distillation."""

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from torch import Tensor
from torchvision.ops import generalized_box_iou_loss

from nst_det.config.validators import check_integer, check_number
from nst_det.models.losses.base import LogitLoss
from nst_det.models.losses.float32 import in_float32
from nst_det.models.losses.kd_loss import kd_divergence


def quality_focal_divergence(student: Tensor, teacher: Tensor, beta: float = 1.0) -> Tensor:
    """Compute the quality focal loss of logits with the teacher's scores as targets.

    ``|σ(t) − σ(s)|^β · BCE(σ(s), σ(t))``, summed over the classes (Li et al. 2020,
    https://arxiv.org/abs/2006.04388, eq. 2, with soft targets in place of the quality).

    Args:
        student (Tensor): The student's logits s, `(R, K)`.
        teacher (Tensor): The teacher's logits t, `(R, K)`.
        beta (float): β, at least 0. Defaults to 1.0.

    Returns:
        Tensor: `(R,)`.
    """
    target = teacher.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(student, target, reduction='none')
    return ((target - student.sigmoid()).abs().pow(beta) * entropy).sum(1)


@MODELS.register_module()
class CrossKDLoss(LogitLoss):
    r"""Cross-head distillation, `CrossKD: Cross-Head Knowledge Distillation for Object Detection
    <https://arxiv.org/abs/2306.11369>`_ (Wang et al. 2024, section 3).

    The output of a convolution in the student's head goes through the rest of the teacher's frozen
    head. These cross-head predictions are compared with the teacher's own, so that the targets of
    the teacher do not contradict those of the annotations at the same prediction of the student:

    .. math:: L = λ \Bigl(\frac{1}{E} \sum_r \mathrm{QFL}(\hat p_S^r, p_T^r) +
        λ_b \frac{\sum_r w_r D(\hat b_S^r, b_T^r)}{\sum_r w_r}\Bigr)

    over all positions r inside the images. QFL is the quality focal loss with the teacher's scores
    as targets; E the number of objects that the teacher expects, at least 1, as in
    :class:`KDLoss`; w the teacher's largest class score. D is 1 − GIoU of the boxes, or in heads
    with distributions of the edges (GFL) the mean of their KL divergences.

    The paper takes the mean over all positions, each of the same weight. The authors' code divides
    the sum of QFL by the number of positions that the student's assigner gives to objects, and has
    the weights w, as here.

    Args:
        loss_weight (float, str or dict): λ, at least 0, or ``'auto'``. Defaults to 1.0.
        box_weight (float): λ_b, at least 0. Defaults to 1.0; the authors take 4.0 for GFL and,
            with 1 − IoU as D, 0.75 for FCOS.
        stage (int): The number of convolutions of the student's head, in each branch, before its
            features go to the teacher's head. At least 1. Defaults to 3 (of 4); the authors take 2
            for FCOS.
        beta (float): β of QFL, at least 0. Defaults to 1.0.

    Raises:
        UserError: If an option is wrong.
    """

    compares = 'cross-head'
    method = 'crosskd'
    measure = 'cross'
    title = 'Distance of the cross-head predictions (CrossKD)'
    unit = 'distance of the predictions'
    meaning = 'Lower: the teacher’s head predicts the same from the student’s features.'

    def __init__(
        self,
        loss_weight: float | str | dict = 1.0,
        box_weight: float = 1.0,
        stage: int = 3,
        beta: float = 1.0,
    ) -> None:
        super().__init__(loss_weight)
        self.box_weight = check_number('box_weight', box_weight, minimum=0)
        self.stage = check_integer('stage', stage, minimum=1)
        self.beta = check_number('beta', beta, minimum=0)

    def forward(
        self,
        student: Tensor,
        teacher: Tensor,
        student_boxes: Tensor,
        teacher_boxes: Tensor,
        objects: Tensor | float = 1.0,
    ) -> Tensor:
        """Compare the cross-head predictions with those of the teacher.

        Args:
            student (Tensor): The class logits of the cross-head predictions, `(R, K)`.
            teacher (Tensor): Those of the teacher, `(R, K)`.
            student_boxes (Tensor): Their boxes, `(R, 4)`, two corners; or the logits over the
                places of their edges, `(R, 4, P)`.
            teacher_boxes (Tensor): Those of the teacher.
            objects (Tensor or float): E. Defaults to 1.0.

        Returns:
            Tensor: The loss, a scalar.
        """
        with torch.autocast(student.device.type, enabled=False):
            student, teacher, student_boxes, teacher_boxes = in_float32(
                student, teacher, student_boxes, teacher_boxes
            )
            classes = quality_focal_divergence(student, teacher, self.beta).sum() / objects
            weights = teacher.sigmoid().amax(1)
            if student_boxes.ndim == 3:
                edges = (boxes.flatten(0, 1) for boxes in (student_boxes, teacher_boxes))
                distances = kd_divergence(*edges).view(-1, 4).mean(1)
            else:
                distances = generalized_box_iou_loss(student_boxes, teacher_boxes)
            boxes = (weights * distances).sum() / weights.sum().clamp(min=1e-6)
        return self.loss_weight * (classes + self.box_weight * boxes)

    def extra_repr(self) -> str:
        options = f'box_weight={self.box_weight}, stage={self.stage}, beta={self.beta}'
        return f'{super().extra_repr()}, {options}'
