"""What differs where student or teacher classifies images instead of detecting objects."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from mmdet.structures import DetDataSample
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from nst_det.errors import UserError
from nst_det.models.distillers.taps.recorder import Note, Recorder


def is_classifier(model: nn.Module) -> bool:
    """Whether a model is an image classifier of mmpretrain.

    It is told by the name of its base class, because mmpretrain need not be installed.

    Args:
        model (nn.Module): The model.
    """
    return any(base.__name__ == 'BaseClassifier' for base in type(model).__mro__)


def filling_samples(
    samples: Sequence[BaseDataElement], batch_shape: Sequence[int]
) -> list[DetDataSample]:
    """Copy the metainfo of classification samples, with images that fill their batch.

    The images of a classification batch have one size. Their ``img_shape`` may be another: the
    transforms of torchvision do not update it.

    Args:
        samples (Sequence[BaseDataElement]): The samples.
        batch_shape (Sequence[int]): H and W of the batch in pixels.

    Returns:
        list[DetDataSample]: Samples without annotations.
    """
    shape = tuple(batch_shape)
    return [DetDataSample(metainfo={**sample.metainfo, 'img_shape': shape}) for sample in samples]


class ImageLogits:
    """The class logits of an image classifier, one row per image.

    Args:
        classifier (nn.Module): The classifier.
        role (str): ``'student'`` or ``'teacher'``, for the errors.

    Attributes:
        classified (str): What is classified: ``'image'``.
        sigmoid (bool): Whether the loss takes a sigmoid per class, instead of a softmax.

    Raises:
        UserError: If the classifier has no head.
    """

    classified = 'image'

    def __init__(self, classifier: nn.Module, role: str) -> None:
        # A TimmClassifier is a complete network in place of backbone, neck and head.
        self.head = getattr(classifier, 'head', None) or getattr(classifier, 'model', None)
        self.where = f"the {role}'s {type(classifier).__name__}"
        if self.head is None:
            raise UserError(f'KDLoss finds no class logits in {self.where}, which has no head')
        loss = getattr(self.head, 'loss_module', getattr(classifier, 'loss_module', None))
        loss = getattr(loss, 'ce', loss)  # inside a loss with label smoothing
        self.sigmoid = bool(getattr(loss, 'use_sigmoid', False))

    @contextmanager
    def record(self) -> Iterator[tuple[list[Tensor], None]]:
        """Record the logits of the training pass inside the ``with`` block.

        Yields:
            tuple[list[Tensor], None]: The logits `(N, K)`, in a list.

        Raises:
            UserError: If the head did not run, or gave something else.
        """
        logits: list[Tensor] = []
        with Recorder() as recorder:
            recorder.on_output(self.head, lambda call, output: logits.append(self._check(output)))
            yield logits, None
        if len(logits) != 1:
            raise UserError(
                f'KDLoss: the head of {self.where}, {type(self.head).__name__}, ran {len(logits)} '
                'times in a training pass, expected once'
            )

    def record_head_inputs(self, recorder: Recorder, note: Note) -> None:
        """Note the logits, in place of what the head takes."""
        recorder.on_output(self.head, lambda call, output: note(call, [self._check(output)]))

    def compute(self, head_inputs: Sequence[Tensor]) -> list[Tensor]:
        """Return the recorded logits.

        Args:
            head_inputs (Sequence[Tensor]): What :meth:`record_head_inputs` noted.

        Returns:
            list[Tensor]: The logits `(N, K)`, in a list.
        """
        return list(head_inputs)

    def _check(self, output: object) -> Tensor:
        if not isinstance(output, Tensor) or output.ndim != 2:
            raise UserError(
                f'KDLoss: the head of {self.where}, {type(self.head).__name__}, gives '
                f'{tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__}, '
                'expected logits (N, K): choose a head such as LinearClsHead'
            )
        return output
