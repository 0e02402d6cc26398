"""The base class of the transfers: each computes one loss between student and teacher."""

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
    """The shape of the student's batch, of the images in it, and the boxes of their objects.

    Args:
        shape (Size): The shape of the batch, `(N, 3, H, W)`.
        image_sizes (list[tuple[int, int]], optional): H and W of each image in pixels; None if no
            image is padded, or padding counts as image.
        boxes (list[Tensor], optional): The ground-truth boxes of each image, `(G, 4)`, left, top,
            right and bottom in pixels. Defaults to None: the batch has none.
    """

    shape: Size
    image_sizes: list[tuple[int, int]] | None
    boxes: list[Tensor] | None = None

    @classmethod
    def of(cls, images: Tensor, samples: Sequence[DetDataSample], ignore_padding: bool) -> 'Batch':
        """Describe a batch.

        Args:
            images (Tensor): The images, `(N, 3, H, W)`.
            samples (Sequence[DetDataSample]): Their samples.
            ignore_padding (bool): Whether padding does not count as image.
        """
        sizes = image_sizes(samples, images.shape[2:]) if ignore_padding else None
        return cls(images.shape, sizes, _ground_truth_boxes(samples))

    @property
    def batch_input_shape(self) -> Size:
        """Size: H and W of the batch in pixels, padding included."""
        return self.shape[2:]


def _ground_truth_boxes(samples: Sequence[DetDataSample]) -> list[Tensor] | None:
    boxes = [sample.get('gt_instances', {}).get('bboxes') for sample in samples]
    if any(of_image is None for of_image in boxes):
        return None
    return [getattr(of_image, 'tensor', of_image) for of_image in boxes]


@dataclass(frozen=True)
class StudentOutput:
    """The tensors that a transfer recorded in the student's forward pass.

    Args:
        tensors (list[Tensor]): The input of the transfer's loss. The student's own losses were
            computed from the same tensors.
        rois (list[Tensor], optional): For the logits of regions, the regions: for each tensor one
            of shape `(R, 5)`, image index and corners. Defaults to None.
    """

    tensors: list[Tensor]
    rois: list[Tensor] | None = None


class Transfer(ABC):
    """Computes one loss between feature maps, or logits, of the student and of the teacher.

    Args:
        loss (TransferLoss): The loss.
        name (str): The key of the loss in the loss dict; begins with ``loss_``.
        layer (str): The student's layer that learns, or ``'logits'``.

    Attributes:
        factor (float): The factor of a schedule on the weight of the loss.
        teacher (str): The name of the teacher; '' for a single one without a name.
    """

    teacher: str = ''

    def __init__(self, loss: TransferLoss, name: str, layer: str) -> None:
        self.loss = loss
        self.name = name
        self.layer = layer
        self.factor = 1.0

    @property
    def weight(self) -> float:
        """float: The current weight λ."""
        return self.loss.loss_weight * self.factor

    @property
    def active(self) -> bool:
        """bool: Whether the current weight is not 0."""
        return self.weight != 0

    @property
    def log_name(self) -> str:
        """str: The name of the transfer in log keys.

        It does not contain 'loss', because mmengine adds every value with 'loss' in its key to the
        total loss.
        """
        return self.name.removeprefix('loss_').removeprefix('nst_').replace('loss', 'Loss')

    @property
    def log_key(self) -> str:
        """str: The log key of the loss without its weight, such as ``mmd2_backbone_layer3``."""
        return f'{self.loss.measure}_{self.log_name}'

    def measured(self, loss: Tensor) -> Tensor:
        """Compute from a value of the loss what it measures, without the weight: MMD² for NST.

        Args:
            loss (Tensor): The value of the loss, a scalar.

        Returns:
            Tensor: A scalar without gradient; ``nan`` if the weight is 0.
        """
        scale = 1 / (self.weight * self.loss.coefficient) if self.active else math.nan
        return loss.detach() * scale

    @abstractmethod
    def check_student(self, detector: nn.Module) -> None:
        """Check that a student has the layer or the logits that the transfer reads.

        Raises:
            UserError: If the student lacks them.
        """

    @abstractmethod
    def check_teacher(self, detector: nn.Module) -> None:
        """Check that a teacher has the layer or the logits that the transfer reads.

        Raises:
            UserError: If the teacher lacks them.
        """

    @property
    def teacher_taps(self) -> list[Tap]:
        """list[Tap]: The taps of the teacher that the transfer reads."""
        return []

    @property
    def needs_logits(self) -> bool:
        """bool: Whether the transfer reads the logits of the teacher."""
        return False

    @abstractmethod
    def record(self, student: nn.Module) -> AbstractContextManager[StudentOutput]:
        """Record the student's forward pass that runs inside the ``with`` block.

        Args:
            student (nn.Module): The student.

        Returns:
            ContextManager[StudentOutput]: Yields the output, which is filled during the block.
        """

    @abstractmethod
    def compare(
        self,
        student_tensors: Sequence[Tensor],
        student_output: StudentOutput,
        batch: Batch,
        teacher_output: TeacherOutput,
    ) -> Tensor:
        """Compute the loss, without the factor of a schedule.

        Args:
            student_tensors (Sequence[Tensor]): ``student_output.tensors``, or views of them.
            student_output (StudentOutput): What was recorded of the student.
            batch (Batch): The student's batch.
            teacher_output (TeacherOutput): The teacher's output for this batch.

        Returns:
            Tensor: A scalar.
        """
