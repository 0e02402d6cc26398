"""VOC's metric, as the challenges define it."""

from collections.abc import Sequence

import numpy as np
from mmdet.evaluation import VOCMetric
from mmdet.evaluation.functional.mean_ap import print_map_summary
from mmdet.registry import METRICS
from mmengine.logging import MMLogger
from torch import Tensor

from nst_det.evaluation.functional.mean_ap import eval_voc_map


@METRICS.register_module()
class VOCDevkitMetric(VOCMetric):
    """mmdet's ``VOCMetric`` with the AP of :func:`eval_voc_map`, and with each class's in the log.

    Its arguments, its table and its keys are those of ``VOCMetric``; besides, ``AP/<class>`` is the
    AP of each class that has objects, averaged over ``iou_thrs``. ``metric='recall'`` and
    ``scale_ranges``, which are no part of VOC's protocol, are computed by mmdet.
    """

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep the boxes, labels and scores of some images.

        Args:
            data_batch (dict): What the data loader gave; it is not looked at.
            data_samples (Sequence[dict]): Per image ``gt_instances``, ``ignored_instances`` and
                ``pred_instances``.
        """
        if self._is_mmdets:
            return super().process(data_batch, data_samples)
        for sample in data_samples:
            objects, difficult = sample['gt_instances'], sample['ignored_instances']
            annotation = dict(
                bboxes=_array(objects['bboxes']),
                labels=_array(objects['labels']),
                bboxes_ignore=_array(difficult['bboxes']),
                labels_ignore=_array(difficult['labels']),
            )
            found = sample['pred_instances']
            detections = {key: _array(found[key]) for key in ('bboxes', 'labels', 'scores')}
            self.results.append((annotation, detections))

    def compute_metrics(self, results: list) -> dict:
        """Compute the metrics of all images.

        Args:
            results (list): What ``process`` made of them.

        Returns:
            dict: ``mAP``, ``AP50`` (for each of ``iou_thrs``) and ``AP/<class>``, from 0 to 1.
        """
        if self._is_mmdets:
            return super().compute_metrics(results)
        logger = MMLogger.get_current_instance()
        annotations, detections = zip(*results)
        names = self.dataset_meta['classes']
        means: dict[str, float] = {}
        by_name: dict[str, list[float]] = {}
        for iou_thr in self.iou_thrs:
            mean, classes = eval_voc_map(
                detections, annotations, len(names), iou_thr, self.eval_mode
            )
            logger.info(f'\n{"-" * 15}iou_thr: {iou_thr}{"-" * 15}')
            print_map_summary(mean, classes, names, logger=logger)
            means[f'AP{int(iou_thr * 100):02d}'] = mean
            for name, one in zip(names, classes):
                if one['num_gts']:
                    by_name.setdefault(f'AP/{name}', []).append(one['ap'])
        return {
            'mAP': sum(means.values()) / len(means),
            **means,
            **{name: sum(aps) / len(aps) for name, aps in by_name.items()},
        }

    @property
    def _is_mmdets(self) -> bool:
        return self.metric != 'mAP' or self.scale_ranges is not None


def _array(tensor: Tensor) -> np.ndarray:
    """Copied, as a tensor of a data worker keeps a file open while it lives."""
    return tensor.cpu().numpy().copy()
