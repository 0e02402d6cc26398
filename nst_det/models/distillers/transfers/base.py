"""A transfer: one loss between something of the student's and something of the teacher's."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from mmdet.structures import DetDataSample
from torch import Size, Tensor, nn

from nst_det.models.distillers.taps.geometry import image_sizes
from nst_det.models.distillers.taps.tap import Tap
from nst_det.models.distillers.teacher.output import TeacherOutput
from nst_det.models.losses import TransferLoss


@dataclass(frozen=True)
class Batch:
    """What the transfers need to know of the student's batch.

    Args:
        shape (Size): Of its images, `(N, 3, H, W)`.
        sizes (list[tuple[int, int]], optional): H and W of each image in pixels, None where none
            is padded or padding counts as image.
    """

    shape: Size
    sizes: list[tuple[int, int]] | None

    @classmethod
    def of(cls, images: Tensor, samples: Sequence[DetDataSample], ignore_padding: bool) -> 'Batch':
        """The batch of some images and their samples."""
        sizes = image_sizes(samples, images.shape[2:]) if ignore_padding else None
        return cls(images.shape, sizes)

    @property
    def canvas(self) -> Size:
        """Size: H and W of the batch in pixels, its padding included."""
        return self.shape[2:]


@dataclass
class StudentOutput:
    """What a transfer recorded of the student's forward pass.

    Args:
        tensors (list[Tensor]): What its loss reads, out of which the student made its own losses.
        rois (list[Tensor], optional): The regions that they are of, one `(R, 5)` a tensor: image
            index and corners. Defaults to None.
    """

    tensors: list[Tensor]
    rois: list[Tensor] | None = None


class Transfer(ABC):
    """What is transferred, from where to where.

    Args:
        loss (TransferLoss): The loss.
        name (str): Its key among the student's losses; begins with ``loss_``.
        layer (str): Where the student learns.

    Attributes:
        factor (float): What a schedule makes of the loss's weight.
    """

    def __init__(self, loss: TransferLoss, name: str, layer: str) -> None:
        self.loss = loss
        self.name = name
        self.layer = layer
        self.factor = 1.0

    @property
    def weight(self) -> float:
        """float: The weight λ of this moment."""
        return self.loss.loss_weight * self.factor

    @property
    def active(self) -> bool:
        """bool: Whether its weight is not 0."""
        return self.weight != 0

    @property
    def log_name(self) -> str:
        """str: What the log calls it; without 'loss', which would add a value to the total."""
        return self.name.removeprefix('loss_').removeprefix('nst_').replace('loss', 'Loss')

    @property
    def log_key(self) -> str:
        """str: What the log calls the loss without its weight."""
        return f'{self.loss.measure}_{self.log_name}'

    def measured(self, loss: Tensor) -> Tensor:
        """What the loss measures, without the weight: MMD² of NST.

        Args:
            loss (Tensor): The transfer's loss, a scalar.

        Returns:
            Tensor: A scalar without gradient; ``nan`` where the weight is 0, for nothing was
            measured then.
        """
        scale = 1 / (self.weight * self.loss.coefficient) if self.active else math.nan
        return loss.detach() * scale

    @abstractmethod
    def check_student(self, detector: nn.Module) -> None:
        """Check that a student has what is tapped of it.

        Raises:
            UserError: Where it has not.
        """

    @abstractmethod
    def check_teacher(self, detector: nn.Module) -> None:
        """Check that a teacher has what is tapped of it.

        Raises:
            UserError: Where it has not.
        """

    @property
    def teacher_taps(self) -> list[Tap]:
        """list[Tap]: The teacher's maps that it needs."""
        return []

    @property
    def needs_features(self) -> bool:
        """bool: Whether it needs the feature maps that the teacher's heads see."""
        return False

    @abstractmethod
    def record(self, student: nn.Module) -> AbstractContextManager[StudentOutput]:
        """Record what it needs of the forward pass that runs inside the ``with`` block."""

    @abstractmethod
    def compare(
        self,
        seen: Sequence[Tensor],
        observed: StudentOutput,
        batch: Batch,
        teacher_output: TeacherOutput,
    ) -> Tensor:
        """Compute the loss, without the schedule's factor.

        Args:
            seen (Sequence[Tensor]): The observation's tensors, or views of them.
            observed (StudentOutput): What was recorded of the student.
            batch (Batch): The student's batch.
            teacher_output (TeacherOutput): What the teacher made of it.

        Returns:
            Tensor: A scalar.
        """
