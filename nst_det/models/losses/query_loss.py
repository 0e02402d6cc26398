"""The loss between the queries of two detectors of the DETR family, matched to each other."""

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torchvision.ops import box_convert, generalized_box_iou, generalized_box_iou_loss

from nst_det.config.validators import check_number
from nst_det.models.losses.base import LogitLoss
from nst_det.models.losses.float32 import in_float32
from nst_det.models.losses.kd_loss import kd_divergence


@MODELS.register_module()
class MatchedQueryLoss(LogitLoss):
    r"""Distillation of the predictions of matched queries, for DETR and its relatives, after
    `DETRDistill <https://arxiv.org/abs/2211.10156>`_ (Chang et al. 2023, its Hungarian-matching
    logits distillation).

    The queries of two detectors have no common order. So the Hungarian algorithm assigns to each
    query i of the teacher another query j(i) of the student, such that the sum of the distances
    below is least. Then

    .. math:: L = λ \cdot \frac{1}{\sum_i w_i} \sum_i \Bigl( τ^2 \mathrm{KL}(p_T^i ‖ p_S^{j(i)})
        + w_i \bigl(λ_1 ‖b_T^i − b_S^{j(i)}‖_1 + λ_2 (1 − \mathrm{GIoU})\bigr)\Bigr)

    with w the teacher's probability of an object. The predictions are those of the last decoder
    layer.

    Args:
        loss_weight (float, str or dict): λ, at least 0, or ``'auto'``. Defaults to 1.0.
        temperature (float): τ, greater than 0. Defaults to 1.0.
        l1_weight (float): λ_1, at least 0. Defaults to 5.0, as in DETR's losses.
        giou_weight (float): λ_2, at least 0. Defaults to 2.0, as in DETR's losses.

    Raises:
        UserError: If an option is wrong.
    """

    compares = 'queries'
    method = 'query'
    measure = 'query'
    title = 'Distance of the matched queries (DETR)'
    unit = 'distance of the queries'
    meaning = 'Lower: the student’s queries find the same objects as the teacher’s.'

    def __init__(
        self,
        loss_weight: float | str | dict = 1.0,
        temperature: float = 1.0,
        l1_weight: float = 5.0,
        giou_weight: float = 2.0,
    ) -> None:
        super().__init__(loss_weight)
        self.temperature = check_number('temperature', temperature, above=0)
        self.l1_weight = check_number('l1_weight', l1_weight, minimum=0)
        self.giou_weight = check_number('giou_weight', giou_weight, minimum=0)

    def forward(
        self,
        student: Tensor,
        teacher: Tensor,
        student_boxes: Tensor,
        teacher_boxes: Tensor,
        sigmoid: bool,
    ) -> Tensor:
        """Match the queries of each image, and compute the loss over the pairs.

        Args:
            student (Tensor): The student's class logits, `(N, Q_S, K)`.
            teacher (Tensor): The teacher's class logits, `(N, Q_T, K)`. If one of the two has more
                queries, those that match worst are left out.
            student_boxes (Tensor): The student's boxes, `(N, Q_S, 4)`: centre, width and height
                over those of the image.
            teacher_boxes (Tensor): The teacher's boxes, `(N, Q_T, 4)`.
            sigmoid (bool): Whether each class has its own sigmoid, instead of a softmax over all
                and background.

        Returns:
            Tensor: The loss, a scalar.
        """
        with torch.autocast(student.device.type, enabled=False):
            student, teacher, student_boxes, teacher_boxes = in_float32(
                student, teacher, student_boxes, teacher_boxes
            )
            pairs = [
                self.match(*image, sigmoid=sigmoid)
                for image in zip(student, teacher, student_boxes, teacher_boxes)
            ]
            rows = [
                torch.cat([tensor[of_student] for tensor, (of_student, _) in zip(tensors, pairs)])
                for tensors in (student, student_boxes)
            ]
            targets = [
                torch.cat([tensor[of_teacher] for tensor, (_, of_teacher) in zip(tensors, pairs)])
                for tensors in (teacher, teacher_boxes)
            ]
            weights = object_chance(targets[0], sigmoid)
            classes = kd_divergence(rows[0], targets[0], self.temperature, sigmoid)
            corners = (box_convert(boxes, 'cxcywh', 'xyxy') for boxes in (rows[1], targets[1]))
            boxes = self.l1_weight * (rows[1] - targets[1]).abs().sum(1)
            boxes = boxes + self.giou_weight * generalized_box_iou_loss(*corners)
            total = (classes + weights * boxes).sum() / weights.sum().clamp(min=1e-6)
        return self.loss_weight * total

    @torch.no_grad()
    def match(
        self,
        student: Tensor,
        teacher: Tensor,
        student_boxes: Tensor,
        teacher_boxes: Tensor,
        sigmoid: bool,
    ) -> tuple[Tensor, Tensor]:
        """Find the pairs of queries of one image with the least sum of distances.

        Args:
            student (Tensor): The student's class logits, `(Q_S, K)`.
            teacher (Tensor): The teacher's class logits, `(Q_T, K)`.
            student_boxes (Tensor): The student's boxes, `(Q_S, 4)`.
            teacher_boxes (Tensor): The teacher's boxes, `(Q_T, 4)`.
            sigmoid (bool): Whether each class has its own sigmoid.

        Returns:
            tuple[Tensor, Tensor]: The indices of the student's and of the teacher's queries.
        """
        classes = _pairwise_divergence(student, teacher, self.temperature, sigmoid)
        corners = (box_convert(boxes, 'cxcywh', 'xyxy') for boxes in (teacher_boxes, student_boxes))
        boxes = self.l1_weight * torch.cdist(teacher_boxes, student_boxes, p=1)
        boxes = boxes + self.giou_weight * (1 - generalized_box_iou(*corners))
        costs = classes + object_chance(teacher, sigmoid)[:, None] * boxes
        # A NaN is reported later as the value of the loss, not as an error of the algorithm.
        of_teacher, of_student = linear_sum_assignment(costs.nan_to_num().cpu().numpy())
        device = student.device
        return torch.as_tensor(of_student, device=device), torch.as_tensor(
            of_teacher, device=device
        )

    def extra_repr(self) -> str:
        weights = f'l1_weight={self.l1_weight}, giou_weight={self.giou_weight}'
        return f'{super().extra_repr()}, temperature={self.temperature}, {weights}'


def object_chance(logits: Tensor, sigmoid: bool) -> Tensor:
    """Compute the probability of an object from class logits.

    Args:
        logits (Tensor): `(R, K)`; with softmax the last class is background.
        sigmoid (bool): Whether each class has a sigmoid, instead of a softmax over all.

    Returns:
        Tensor: `(R,)`; with sigmoids that of the likeliest class.
    """
    return logits.amax(1).sigmoid() if sigmoid else 1 - logits.softmax(1)[:, -1]


def _pairwise_divergence(
    student: Tensor, teacher: Tensor, temperature: float, sigmoid: bool
) -> Tensor:
    """Compute :func:`kd_divergence` of all pairs as matrix products, `(Q_T, Q_S)`."""
    student, teacher = student / temperature, teacher / temperature
    if sigmoid:
        pairs = [(F.logsigmoid(sign * teacher), F.logsigmoid(sign * student)) for sign in (1, -1)]
    else:
        pairs = [(teacher.log_softmax(1), student.log_softmax(1))]
    total = sum(
        (log_p.exp() * log_p).sum(1, keepdim=True) - log_p.exp() @ log_q.T for log_p, log_q in pairs
    )
    return temperature**2 * total
