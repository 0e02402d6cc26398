"""The predictions of dense heads, level by level: the same positions of student and teacher."""

from torch import Tensor

from nst_det.errors import UserError
from nst_det.models.distillers.taps.geometry import compute_strides
from nst_det.models.distillers.teacher.output import TeacherOutput
from nst_det.models.distillers.transfers.base import Batch


def check_levels(student: int, teacher: int, loss: str) -> None:
    """Check that two dense heads predict on equally many levels.

    Args:
        student (int): The number of levels of the student's head.
        teacher (int): That of the teacher's head.
        loss (str): The name of the loss, for the error.

    Raises:
        UserError: If they differ.
    """
    if student != teacher:
        raise UserError(
            f"{loss}: the student's head has {student} levels, the teacher's {teacher}: both need "
            'the same strides'
        )


def cut_level(
    teacher: Tensor,
    teacher_output: TeacherOutput,
    student: Tensor,
    batch: Batch,
    loss: str,
) -> Tensor:
    """Cut off the positions of a level that the student does not have.

    Args:
        teacher (Tensor): The teacher's predictions of a level, `(N, A·K, H', W')`.
        teacher_output (TeacherOutput): The teacher's output for this batch.
        student (Tensor): The student's predictions of that level, `(N, …, H, W)`.
        batch (Batch): The student's batch.
        loss (str): The name of the loss, for the error.

    Returns:
        Tensor: `(N, A·K, H, W)`.

    Raises:
        UserError: If the strides differ.
    """
    size, teacher_size = student.shape[2:], teacher.shape[2:]
    strides = compute_strides(batch.batch_input_shape, size)
    teacher_strides = compute_strides(teacher_output.batch_input_shape, teacher_size)
    if (
        strides != tuple(stride / teacher_output.scale for stride in teacher_strides)
        or teacher_size[0] < size[0]
        or teacher_size[1] < size[1]
    ):
        advice = ''
        if teacher_output.scale != 1:
            advice = f' (teacher.scale is {teacher_output.scale}: leave it out)'
        raise UserError(
            f'{loss}: the student classifies {tuple(size)} positions, the teacher '
            f'{tuple(teacher_size)} of the same images: both need the same strides{advice}'
        )
    return teacher[:, :, : size[0], : size[1]]


def level_rows(predictions: Tensor, channels: int, mask: Tensor | None) -> Tensor:
    """Reshape the predictions of a level to rows, only those inside the images.

    Args:
        predictions (Tensor): `(N, A·K, H, W)`.
        channels (int): K.
        mask (Tensor, optional): The positions inside the images, `(N, 1, H, W)`; None for all.

    Returns:
        Tensor: `(R, K)`, image by image, anchor by anchor, then the positions row by row.
    """
    rows = predictions.unflatten(1, (-1, channels)).permute(0, 1, 3, 4, 2)
    if mask is None:
        return rows.reshape(-1, channels)
    return rows[mask.expand(rows.shape[:4])]
