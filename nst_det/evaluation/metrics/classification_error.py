"""The error of image classification."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS

from nst_det.errors import UserError


@METRICS.register_module()
class ClassificationError(BaseMetric):
    """The share of images whose class is not among the k likeliest: the error of papers' tables.

    It reports ``top1_error`` and so on, as fractions. mmpretrain's ``Accuracy`` is 100 % minus it,
    in percent. ``nst_det.evaluation.Results`` knows that lower is better.

    Args:
        topk (Sequence[int]): Each k. Defaults to ``(1,)``.
        **kwargs: Those of :class:`mmengine.evaluator.BaseMetric`.

    Raises:
        UserError: If a k is no positive integer.
    """

    def __init__(self, topk: Sequence[int] = (1,), **kwargs: Any) -> None:
        self.topk = tuple(topk)
        if not self.topk or not all(type(k) is int and k > 0 for k in self.topk):
            raise UserError(
                f'ClassificationError.topk is {topk!r}, expected positive integers such as (1, 5)',
                'ClassificationError.topk',
            )
        super().__init__(**kwargs)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Note at which rank each image has its class, counted from 0.

        Args:
            data_batch (Any): Not used.
            data_samples (Sequence[dict]): Of each image ``pred_score`` `(K,)` and ``gt_label``.

        Raises:
            UserError: If there are fewer classes than k.
        """
        for sample in data_samples:
            scores, label = sample['pred_score'], int(sample['gt_label'])
            if len(scores) < max(self.topk):
                raise UserError(
                    f'ClassificationError.topk has {max(self.topk)}, but there are '
                    f'{len(scores)} classes',
                    'ClassificationError.topk',
                )
            # Of classes that are equally likely the first counts, as in argmax.
            first = torch.argsort(scores, descending=True, stable=True)
            self.results.append(int((first == label).nonzero()))

    def compute_metrics(self, results: list[int]) -> dict[str, float]:
        """Compute the errors.

        Args:
            results (list[int]): The rank of the right class of each image.

        Returns:
            dict[str, float]: The errors by name, from 0 to 1.
        """
        return {
            f'top{k}_error': sum(rank >= k for rank in results) / len(results) for k in self.topk
        }
