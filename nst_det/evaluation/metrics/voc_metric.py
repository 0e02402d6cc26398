"""The metric of the PASCAL VOC challenges."""

from collections.abc import Sequence

import numpy as np
from mmdet.evaluation import VOCMetric
from mmdet.evaluation.functional.mean_ap import print_map_summary
from mmdet.registry import METRICS
from mmengine.logging import MMLogger
from torch import Tensor

from nst_det.evaluation.functional.mean_ap import eval_voc_map
from nst_det.evaluation.functional.recall import eval_recall


@METRICS.register_module()
class VOCDevkitMetric(VOCMetric):
    """``VOCMetric`` of mmdet with the AP of :func:`eval_voc_map`, and the AP of each class.

    It takes the arguments of ``VOCMetric``, logs the same table and returns the same keys. It also
    returns ``AP/<class>``, the mean AP over ``iou_thrs`` of each class that has objects.
    ``scale_ranges``, which VOC does not define, are computed by mmdet. ``metric='recall'`` counts
    an object as found by a detection of its own class; mmdet compares all objects with the
    detections of the first class.
    """

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Store the boxes, labels and scores of a batch.

        Args:
            data_batch (dict): The batch of the data loader. Not used.
            data_samples (Sequence[dict]): Per image ``gt_instances``, ``ignored_instances`` and
                ``pred_instances``.
        """
        if self._computed_by_mmdet:
            return super().process(data_batch, data_samples)
        for sample in data_samples:
            objects, difficult = sample['gt_instances'], sample['ignored_instances']
            annotation = dict(
                bboxes=_array(objects['bboxes']),
                labels=_array(objects['labels']),
                bboxes_ignore=_array(difficult['bboxes']),
                labels_ignore=_array(difficult['labels']),
            )
            predicted = sample['pred_instances']
            detections = {key: _array(predicted[key]) for key in ('bboxes', 'labels', 'scores')}
            self.results.append((annotation, detections))

    def compute_metrics(self, results: list) -> dict:
        """Compute the metrics over all images.

        Args:
            results (list): The annotation and the detections of each image.

        Returns:
            dict: ``mAP``, the AP at each of ``iou_thrs`` (``AP50`` for 0.5, ``AP62.5`` for 0.625),
            and ``AP/<class>``, from 0 to 1. For ``metric='recall'``: ``recall@<number>@<iou_thr>``
            of each of ``proposal_nums``, and with several thresholds their mean ``AR@<number>``.
        """
        if self.metric == 'recall':
            return self._recalls(results)
        if self._computed_by_mmdet:
            return super().compute_metrics(results)
        logger = MMLogger.get_current_instance()
        annotations, detections = zip(*results)
        names = self.dataset_meta['classes']
        means: list[float] = []
        aps_of_class: dict[str, list[float]] = {}
        for iou_thr in self.iou_thrs:
            mean, classes = eval_voc_map(
                detections, annotations, len(names), iou_thr, self.eval_mode
            )
            logger.info(f'\n{"-" * 15}iou_thr: {iou_thr}{"-" * 15}')
            print_map_summary(mean, classes, names, logger=logger)
            means.append(mean)
            for name, result in zip(names, classes):
                if result['num_gts']:
                    aps_of_class.setdefault(f'AP/{name}', []).append(result['ap'])
        return {
            'mAP': sum(means) / len(means),
            **{_ap_key(iou_thr): mean for iou_thr, mean in zip(self.iou_thrs, means)},
            **{key: sum(aps) / len(aps) for key, aps in aps_of_class.items()},
        }

    def _recalls(self, results: list) -> dict:
        """The recall at each of ``proposal_nums`` and ``iou_thrs``."""
        annotations, detections = zip(*results)
        recalls = {}
        for number in self.proposal_nums:
            found = eval_recall(detections, annotations, number, self.iou_thrs)
            for iou_thr, recall in zip(self.iou_thrs, found):
                recalls[f'recall@{number}@{iou_thr}'] = recall
            if len(found) > 1:
                recalls[f'AR@{number}'] = sum(found) / len(found)
        return recalls

    @property
    def _computed_by_mmdet(self) -> bool:
        return self.metric != 'mAP' or self.scale_ranges is not None


def _ap_key(iou_thr: float) -> str:
    """The key of the AP at a threshold: the threshold in percent, with at least two digits."""
    percent = f'{100 * iou_thr:.6g}'  # int() would give 56 for 0.57
    return f'AP{percent.zfill(2)}'


def _array(tensor: Tensor) -> np.ndarray:
    """Copy a tensor, because a tensor of a data worker keeps a file open while it exists."""
    return tensor.cpu().numpy().copy()
