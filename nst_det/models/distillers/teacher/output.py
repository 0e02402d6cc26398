"""A teacher_output: what the teacher makes of one batch."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Size, Tensor

from nst_det.models.distillers.taps.logits import DenseLogits, RoILogits
from nst_det.models.distillers.taps.tap import Tap
from nst_det.models.distillers.teacher.side_stream import SideStream


@dataclass(frozen=True)
class TeacherOutput:
    """What the teacher makes of one batch.

    Args:
        maps (Mapping[Tap, Tensor]): Its tapped maps, `(N, C, H, W)`.
        canvas (Size): H × W of its batch in pixels, which its padding divisor may make larger than
            the student's.
        features (Sequence[Tensor], optional): The maps that its heads see, where a transfer needs
            them. Defaults to None.
        classifier (RoILogits or DenseLogits, optional): Its classification, likewise.
        computing (Callable): Gives the ``with`` block in which that is computed. Defaults to one
            that changes nothing.
        cached (float, optional): The share of the images whose maps were read from a cache, None
            where there is no cache. Defaults to None.
        stream (SideStream, optional): Where the maps are still being computed. Defaults to None.
    """

    maps: Mapping[Tap, Tensor]
    canvas: Size
    features: Sequence[Tensor] | None = None
    classifier: RoILogits | DenseLogits | None = None
    computing: Callable[[], AbstractContextManager] = nullcontext
    cached: float | None = None
    stream: SideStream | None = None

    def wait(self) -> None:
        """Have the current stream wait for the maps, before anything reads them."""
        if self.stream is not None:
            self.stream.join([*self.maps.values(), *(self.features or ())])

    @torch.no_grad()
    def classify(self, *rois: Sequence[Tensor]) -> list[Tensor]:
        """The teacher's class scores of given regions, or of its own positions.

        Args:
            *rois (Sequence[Tensor]): For a two-stage teacher the regions of each stage, `(R, 5)`.

        Returns:
            list[Tensor]: Per stage `(R, K)`, or per level `(N, A·K, H, W)`.
        """
        with self.computing():
            return self.classifier.classify(self.features, *rois)
