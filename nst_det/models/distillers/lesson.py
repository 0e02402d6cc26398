"""A lesson: what the teacher makes of one batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Size, Tensor

from nst_det.models.distillers.class_scores import DenseClassifier, RoIClassifier
from nst_det.models.distillers.tap import Tap


@dataclass(frozen=True)
class Lesson:
    """What the teacher makes of one batch.

    Args:
        maps (Mapping[Tap, Tensor]): Its tapped maps, `(N, C, H, W)`.
        canvas (Size): H × W of its batch in pixels, which its padding divisor may make larger than
            the student's.
        features (Sequence[Tensor], optional): The maps that its heads see, where a transfer needs
            them. Defaults to None.
        classifier (RoIClassifier or DenseClassifier, optional): Its classification, likewise.
    """

    maps: Mapping[Tap, Tensor]
    canvas: Size
    features: Sequence[Tensor] | None = None
    classifier: RoIClassifier | DenseClassifier | None = None

    @torch.no_grad()
    def classify(self, *rois: Sequence[Tensor]) -> list[Tensor]:
        """The teacher's class scores of given regions, or of its own positions.

        Args:
            *rois (Sequence[Tensor]): For a two-stage teacher the regions of each stage, `(R, 5)`.

        Returns:
            list[Tensor]: Per stage `(R, K)`, or per level `(N, A·K, H, W)`.
        """
        return self.classifier.classify(self.features, *rois)
