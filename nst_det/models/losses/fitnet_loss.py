"""The loss of FitNets."""

import torch
from mmdet.registry import MODELS
from torch import Tensor, nn

from nst_det.errors import UserError
from nst_det.models.losses.base import FeatureLoss
from nst_det.models.losses.match_features import match_features

MOST = 2**16  # channels; a larger number is a slip, and its regressor would fill the memory


@MODELS.register_module()
class FitNetLoss(FeatureLoss):
    r"""Hints, `FitNets <https://arxiv.org/abs/1412.6550>`_ (Romero et al. 2015).

    .. math:: L = \frac{λ}{2} \cdot \mathrm{mean} (F_T − r(F_S))^2

    the paper's eq. 3 as a mean over images, channels and positions, so that λ does not depend on
    the map's size. r is a 1×1 convolution where the channel counts differ, else nothing. It is
    trained with the student, and resumed with its training, but is not in the student's checkpoint.

    Args:
        loss_weight (float): λ, at least 0. Defaults to 100.0.
        student_channels (int, optional): C_S. Defaults to None: the distiller finds it out.
        teacher_channels (int, optional): C_T. Defaults to None: likewise.

    Raises:
        UserError: Where an option is out of range, or one of the channel counts alone is given.
    """

    method = 'fitnet'
    measure = 'mse'
    title = 'Mean squared error to the teacher (FitNet)'
    unit = 'mean squared error'
    meaning = 'Lower: the feature map of the student, through its regressor, is closer.'
    coefficient = 0.5

    def __init__(
        self,
        loss_weight: float = 100.0,
        student_channels: int | None = None,
        teacher_channels: int | None = None,
    ) -> None:
        super().__init__(loss_weight)
        self.regressor: nn.Module | None = None
        given = dict(student_channels=student_channels, teacher_channels=teacher_channels)
        for option, value in given.items():
            if value is not None and (
                isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST
            ):
                raise UserError(
                    f'FitNetLoss: {option} is {value!r:.80}, expected a whole number from 1 to '
                    f'{MOST}, or None to have it found out'
                )
        if (student_channels is None) != (teacher_channels is None):
            raise UserError(
                'FitNetLoss: give student_channels and teacher_channels, or neither to have both '
                'found out'
            )
        if student_channels is not None and teacher_channels is not None:
            self.connect(student_channels, teacher_channels)

    @property
    def needs_channels(self) -> bool:
        return self.regressor is None

    def connect(self, student_channels: int, teacher_channels: int) -> None:
        """Make the regressor.

        Args:
            student_channels (int): C_S.
            teacher_channels (int): C_T.
        """
        self.regressor = (
            nn.Identity()
            if student_channels == teacher_channels
            else nn.Conv2d(student_channels, teacher_channels, 1)
        )

    def forward(self, student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
        """λ/2 times the mean squared difference.

        Args:
            student (Tensor): The student's map, `(N, C_S, H, W)`.
            teacher (Tensor): The teacher's map, `(N, C_T, H', W')`; brought to H × W.
            mask (Tensor, optional): The positions that count, `(N, 1, H, W)`, bool. Defaults to
                None, all of them.

        Returns:
            Tensor: The loss, a scalar.

        Raises:
            UserError: Where the regressor is not made for these maps.
        """
        self._check_channels(student.shape[1], teacher.shape[1])
        with torch.autocast(student.device.type, enabled=False):
            student, teacher = match_features(student, teacher, mask)
            parameter = next(self.regressor.parameters(), student)
            squared = (self.regressor(student.to(parameter)) - teacher).square()
            if mask is None:
                mse = squared.mean()
            else:  # the regressor's bias makes something of the zeros there
                counted = squared.masked_fill(~mask, 0).sum((1, 2, 3))
                mse = (counted / (mask.sum((1, 2, 3)) * teacher.shape[1])).mean()
        return self.loss_weight / 2 * mse

    def _check_channels(self, student: int, teacher: int) -> None:
        if self.regressor is None:
            self.connect(student, teacher)
            if student != teacher:
                raise UserError(
                    f'FitNetLoss: the regressor from {student} to {teacher} channels was not there '
                    'when the optimizer was made: give student_channels and teacher_channels'
                )
        conv = self.regressor
        made = (conv.in_channels, conv.out_channels) if isinstance(conv, nn.Conv2d) else None
        if made != (student, teacher) and not (made is None and student == teacher):
            shown = 'equal channel counts' if made is None else f'{made[0]} and {made[1]} channels'
            raise UserError(
                f'FitNetLoss: its regressor is made for {shown}, but the maps have {student} '
                f'(student) and {teacher} (teacher): correct student_channels and teacher_channels'
            )
