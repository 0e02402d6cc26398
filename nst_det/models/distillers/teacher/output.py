"""The teacher's output for one batch."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Size, Tensor

from nst_det.models.distillers.taps.logits import Logits
from nst_det.models.distillers.taps.tap import Tap


@dataclass(frozen=True)
class TeacherOutput:
    """The feature maps that a teacher computed for one batch, and on request its logits.

    Args:
        feature_maps (Mapping[Tap, Tensor]): The tapped feature maps, `(N, C, H, W)`.
        batch_input_shape (Size): H and W of the teacher's batch in pixels. The teacher may pad
            more than the student does.
        head_inputs (Sequence[Tensor], optional): The feature maps that the teacher's heads take,
            recorded only if a transfer needs them. Defaults to None.
        logits (Logits, optional): Computes the teacher's logits from
            ``head_inputs``. Defaults to None.
        precision_context (Callable): Gives the ``with`` block in which the logits are computed.
            Defaults to a block that changes nothing.
        cached_share (float, optional): The share of the images, 0 to 1, that were read from the
            feature cache. Defaults to None, no cache.
        scale (float): The size of the teacher's images over that of the student's. Defaults to 1.
    """

    feature_maps: Mapping[Tap, Tensor]
    batch_input_shape: Size
    head_inputs: Sequence[Tensor] | None = None
    logits: Logits | None = None
    precision_context: Callable[[], AbstractContextManager] = nullcontext
    cached_share: float | None = None
    scale: float = 1.0

    @torch.no_grad()
    def compute_logits(self, *rois: Sequence[Tensor]) -> list[Tensor]:
        """Compute the teacher's class logits.

        Args:
            *rois (Sequence[Tensor]): For a two-stage teacher the regions of each stage, `(R, 5)`:
                image index and corners in pixels of the student's images. A one-stage teacher takes
                none.

        Returns:
            list[Tensor]: Per stage `(R, K)`, or per feature map level `(N, A·K, H, W)`; of queries
            the logits `(N, Q, K)` and the boxes `(N, Q, 4)`; of a classifier `(N, K)`.
        """
        rois = tuple([self._scaled(of_stage) for of_stage in stages] for stages in rois)
        with self.precision_context():
            return self.logits.compute(self.head_inputs, *rois)

    def _scaled(self, rois: Tensor) -> Tensor:
        """The regions in pixels of the teacher's images, `(R, 5)`."""
        return rois if self.scale == 1 else rois * rois.new_tensor([1] + [self.scale] * 4)

    @torch.no_grad()
    def run_head(self) -> Sequence[Sequence[Tensor]]:
        """Run the dense head of a one-stage teacher.

        Returns:
            Sequence[Sequence[Tensor]]: What the head returns: for each kind of prediction one
            tensor per feature map level.
        """
        with self.precision_context():
            return self.logits.head(self.head_inputs)
