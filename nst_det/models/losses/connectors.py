"""Connectors: trained modules that bring a student's feature map to the teacher's channels."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from mmdet.registry import MODELS
from torch import Tensor, nn

from nst_det.config.validators import check_flag, check_integer, wrong_value
from nst_det.errors import UserError

MAX_CHANNELS = 2**16  # a larger number is a typing error, and its weights would fill the memory
MAX_KERNEL_SIZE = 31


def run_in_own_type(layer: nn.Module, feature_map: Tensor, *others: Any) -> Tensor:
    """Run a layer in the floating-point type of its weights.

    Args:
        layer (nn.Module): The layer.
        feature_map (Tensor): Its first input.
        *others (Any): Its other inputs.

    Returns:
        Tensor: The output, in the type of the feature map.
    """
    weight = next(layer.parameters(), feature_map)
    return layer(feature_map.to(weight.dtype), *others).to(feature_map.dtype)


class Connector(nn.Module, ABC):
    """A trained module that brings the student's feature map to the teacher's channel count.

    Its weights are built by :meth:`connect`, before the optimizer. To write your own connector,
    derive a class from this one, implement :meth:`build_layer` and register the class in
    ``mmdet.registry.MODELS``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layer: nn.Module | None = None
        self.channels: tuple[int, int] | None = None

    @property
    def needs_channels(self) -> bool:
        """bool: Whether :meth:`connect` must still be called."""
        return self.layer is None

    @abstractmethod
    def build_layer(self, student_channels: int, teacher_channels: int) -> nn.Module:
        """Build the module that converts the feature map.

        Args:
            student_channels (int): C_S, the channels of the student's feature map.
            teacher_channels (int): C_T, the channels of the teacher's feature map.

        Returns:
            nn.Module: Takes `(N, C_S, H, W)` and returns `(N, C_T, H, W)`.
        """

    def connect_given(self, student_channels: int | None, teacher_channels: int | None) -> None:
        """Build the weights if the channel counts are given as options.

        Args:
            student_channels (int, optional): C_S, or None if the distiller is to find it out.
            teacher_channels (int, optional): C_T, or None if the distiller is to find it out.

        Raises:
            UserError: If a number is wrong, or only one of the two is given.
        """
        channels = dict(student_channels=student_channels, teacher_channels=teacher_channels)
        given = {option: value for option, value in channels.items() if value is not None}
        for option, value in given.items():
            check_integer(option, value, 1, MAX_CHANNELS, ', or None to have it found out')
        if len(given) == 1:
            raise UserError(
                f'{next(iter(given))} is given alone: give student_channels and teacher_channels, '
                'or neither to have both found out',
                next(iter(given)),
            )
        if given:
            self.connect(**given)

    def connect(self, student_channels: int, teacher_channels: int) -> None:
        """Build the weights.

        Args:
            student_channels (int): C_S, the channels of the student's feature map.
            teacher_channels (int): C_T, the channels of the teacher's feature map.
        """
        self.layer = self.build_layer(student_channels, teacher_channels)
        self.channels = student_channels, teacher_channels

    def forward(
        self, feature_map: Tensor, teacher_channels: int, mask: Tensor | None = None
    ) -> Tensor:
        """Convert the student's feature map.

        Args:
            feature_map (Tensor): `(N, C_S, H, W)`.
            teacher_channels (int): C_T.
            mask (Tensor, optional): The positions that count, `(N, 1, H, W)`, bool, for a connector
                that computes statistics over them. Defaults to None, all of them.

        Returns:
            Tensor: `(N, C_T, H, W)`, of the same type.

        Raises:
            UserError: If the weights were not built for these channel counts.
        """
        layer = self._layer_for(feature_map.shape[1], teacher_channels)
        converted = run_in_own_type(layer, feature_map)
        expected = (len(feature_map), teacher_channels, *feature_map.shape[2:])
        if converted.shape != expected:
            raise UserError(
                f'{type(self).__name__}: its layer returns a feature map of shape '
                f'{tuple(converted.shape)}, expected {expected}: correct its build_layer'
            )
        return converted

    def _layer_for(self, student: int, teacher: int) -> nn.Module:
        """Return the layer after checking that it was built for these channel counts."""
        name = type(self).__name__
        if self.layer is None:
            layer = self.build_layer(student, teacher)
            if next(layer.parameters(), None) is not None:
                raise UserError(
                    f'{name}: its weights from {student} to {teacher} channels were not built '
                    'before the optimizer: give it student_channels and teacher_channels, or call '
                    'connect first'
                )
            return layer
        if self.channels != (student, teacher):
            raise UserError(
                f'{name}: it was built for {self.channels[0]} student and {self.channels[1]} '
                f'teacher channels, but the feature maps have {student} and {teacher}: correct '
                'student_channels and teacher_channels'
            )
        return self.layer


@MODELS.register_module()
class ConvConnector(Connector):
    """A convolution with bias that keeps the size of the feature map, and a batch norm on request.

    Args:
        kernel_size (int): An odd number, at most 31. Defaults to 1.
        always (bool): Convolve even if the channel counts are equal. Defaults to False: then the
            student's feature map is compared unchanged.
        norm (bool): Put a batch norm over the positions that count after the convolution, which is
            then always there. Defaults to False.
        student_channels (int, optional): C_S. Defaults to None: the distiller runs the student to
            find it out.
        teacher_channels (int, optional): C_T. Defaults to None: the distiller runs the teacher to
            find it out.

    Raises:
        UserError: If an option is wrong, or only one of the two channel counts is given.
    """

    def __init__(
        self,
        kernel_size: int = 1,
        always: bool = False,
        norm: bool = False,
        student_channels: int | None = None,
        teacher_channels: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = check_integer('kernel_size', kernel_size, 1, MAX_KERNEL_SIZE)
        if kernel_size % 2 == 0:
            raise wrong_value('kernel_size', kernel_size, 'an odd number')
        self.has_norm = check_flag('norm', norm)
        self.always = check_flag('always', always) or norm
        self.norm: nn.Module | None = None
        self.connect_given(student_channels, teacher_channels)

    def connect(self, student_channels: int, teacher_channels: int) -> None:
        super().connect(student_channels, teacher_channels)
        if self.has_norm:
            self.norm = nn.BatchNorm1d(teacher_channels)

    def build_layer(self, student_channels: int, teacher_channels: int) -> nn.Module:
        if student_channels == teacher_channels and not self.always:
            return nn.Identity()
        padding = self.kernel_size // 2
        return nn.Conv2d(student_channels, teacher_channels, self.kernel_size, padding=padding)

    def forward(
        self, feature_map: Tensor, teacher_channels: int, mask: Tensor | None = None
    ) -> Tensor:
        converted = super().forward(feature_map, teacher_channels, mask)
        if self.norm is None:
            return converted
        positions = converted.movedim(1, -1)  # (N, H, W, C)
        if mask is None:
            return self._normalise(positions.flatten(0, 2)).view_as(positions).movedim(-1, 1)
        counted = mask.squeeze(1)
        normalised = torch.zeros_like(positions)
        normalised[counted] = self._normalise(positions[counted])
        return normalised.movedim(-1, 1)

    def _normalise(self, rows: Tensor) -> Tensor:
        """Normalise the positions that count, `(R, C)`; fewer than two have no variance."""
        alone = isinstance(self.norm, nn.BatchNorm1d) and self.training and len(rows) < 2
        if alone:
            return (rows * self.norm.weight + self.norm.bias).to(rows.dtype)
        return run_in_own_type(self.norm, rows)

    def extra_repr(self) -> str:
        return f'kernel_size={self.kernel_size}, always={self.always}, norm={self.has_norm}'


@MODELS.register_module()
class MLPConnector(Connector):
    """Two 1×1 convolutions with bias and a ReLU between them: a small network at each position.

    Args:
        hidden_channels (int, optional): The channels between the two. Defaults to None: C_T.
        student_channels (int, optional): C_S. Defaults to None: the distiller runs the student to
            find it out.
        teacher_channels (int, optional): C_T. Defaults to None: the distiller runs the teacher to
            find it out.

    Raises:
        UserError: If an option is wrong, or only one of the two channel counts is given.
    """

    def __init__(
        self,
        hidden_channels: int | None = None,
        student_channels: int | None = None,
        teacher_channels: int | None = None,
    ) -> None:
        super().__init__()
        if hidden_channels is not None:
            hint = ", or None for the teacher's"
            check_integer('hidden_channels', hidden_channels, 1, MAX_CHANNELS, hint)
        self.hidden_channels = hidden_channels
        self.connect_given(student_channels, teacher_channels)

    def build_layer(self, student_channels: int, teacher_channels: int) -> nn.Module:
        hidden = self.hidden_channels or teacher_channels
        return nn.Sequential(
            nn.Conv2d(student_channels, hidden, 1),
            nn.ReLU(),
            nn.Conv2d(hidden, teacher_channels, 1),
        )

    def extra_repr(self) -> str:
        return f'hidden_channels={self.hidden_channels}'
