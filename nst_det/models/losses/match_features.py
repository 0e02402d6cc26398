"""Making a student's and a teacher's map comparable."""

import torch
import torch.nn.functional as F
from torch import Tensor


def match_features(
    student: Tensor, teacher: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Bring two maps to one type and one size, and to zero where they do not count.

    Args:
        student (Tensor): The student's map, `(N, C_S, H, W)`.
        teacher (Tensor): The teacher's map, `(N, C_T, H', W')`. Brought to H × W (bilinear,
            ``align_corners=False``) where its size differs.
        mask (Tensor, optional): The positions that count, `(N, 1, H, W)`, bool. Defaults to None,
            all of them.

    Returns:
        tuple[Tensor, Tensor]: Both maps in float32 (float64 where given that), `(N, C_S, H, W)` and
        `(N, C_T, H, W)`.

    Raises:
        ValueError: Where a map is not 4-dimensional or the batch sizes differ.
    """
    if student.ndim != 4 or teacher.ndim != 4 or len(student) != len(teacher):
        raise ValueError(
            'a transfer compares two maps (N, C, H, W) of one batch, got shapes '
            f'{tuple(student.shape)} of the student and {tuple(teacher.shape)} of the teacher'
        )
    dtype = torch.promote_types(torch.promote_types(student.dtype, teacher.dtype), torch.float32)
    student, teacher = student.to(dtype), teacher.to(dtype)
    if teacher.shape[2:] != student.shape[2:]:
        teacher = F.interpolate(teacher, student.shape[2:], mode='bilinear', align_corners=False)
    if mask is not None:
        student, teacher = student.masked_fill(~mask, 0), teacher.masked_fill(~mask, 0)
    return student, teacher
