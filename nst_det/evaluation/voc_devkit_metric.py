"""VOC's metric, as the challenges define it."""

from mmdet.evaluation import VOCMetric
from mmdet.evaluation.functional.mean_ap import print_map_summary
from mmdet.registry import METRICS
from mmengine.logging import MMLogger

from nst_det.evaluation.voc_average_precision import eval_voc_map


@METRICS.register_module()
class VOCDevkitMetric(VOCMetric):
    """mmdet's ``VOCMetric`` with the AP of :func:`eval_voc_map`, and with each class's in the log.

    Its arguments, its table and its keys are those of ``VOCMetric``; besides, ``AP/<class>`` is the
    AP of each class that has objects, averaged over ``iou_thrs``. ``metric='recall'`` and
    ``scale_ranges``, which are no part of VOC's protocol, are computed by mmdet.
    """

    def compute_metrics(self, results: list) -> dict:
        """Compute the metrics of all images.

        Args:
            results (list): What ``process`` made of them.

        Returns:
            dict: ``mAP``, ``AP50`` (for each of ``iou_thrs``) and ``AP/<class>``, from 0 to 1.
        """
        if self.metric != 'mAP' or self.scale_ranges is not None:
            return super().compute_metrics(results)
        logger = MMLogger.get_current_instance()
        annotations, detections = zip(*results)
        names = self.dataset_meta['classes']
        means, found = {}, {}
        for iou_thr in self.iou_thrs:
            mean, classes = eval_voc_map(detections, annotations, iou_thr, self.eval_mode)
            logger.info(f'\n{"-" * 15}iou_thr: {iou_thr}{"-" * 15}')
            print_map_summary(mean, classes, names, logger=logger)
            means[f'AP{int(iou_thr * 100):02d}'] = mean
            for name, one in zip(names, classes):
                if one['num_gts']:
                    found.setdefault(f'AP/{name}', []).append(one['ap'])
        return {
            'mAP': sum(means.values()) / len(means),
            **means,
            **{name: sum(aps) / len(aps) for name, aps in found.items()},
        }
