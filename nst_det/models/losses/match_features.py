"""Bringing the feature maps of a student and of a teacher to one type and one size."""

import torch.nn.functional as F
from torch import Tensor

from nst_det.models.losses.float32 import in_float32


def match_features(
    student: Tensor, teacher: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Bring two feature maps to one type and one size, and to zero where they do not count.

    Args:
        student (Tensor): The student's feature map, `(N, C_S, H, W)`.
        teacher (Tensor): The teacher's feature map, `(N, C_T, H', W')`. If its size differs, it is
            interpolated to H × W (bilinear, ``align_corners=False``).
        mask (Tensor, optional): The positions that count, `(N, 1, H, W)`, bool. Defaults to None,
            all of them.

    Returns:
        tuple[Tensor, Tensor]: Both feature maps in float32 (float64 if one of them is),
        `(N, C_S, H, W)` and `(N, C_T, H, W)`.

    Raises:
        ValueError: If a feature map is not 4-dimensional or the batch sizes differ.
    """
    if student.ndim != 4 or teacher.ndim != 4 or len(student) != len(teacher):
        raise ValueError(
            'a loss compares two feature maps (N, C, H, W) of one batch, got the shapes '
            f'{tuple(student.shape)} (student) and {tuple(teacher.shape)} (teacher)'
        )
    student, teacher = in_float32(student, teacher)
    if teacher.shape[2:] != student.shape[2:]:
        teacher = F.interpolate(teacher, student.shape[2:], mode='bilinear', align_corners=False)
    if mask is not None:
        student, teacher = student.masked_fill(~mask, 0), teacher.masked_fill(~mask, 0)
    return student, teacher
