"""The metric of COCO, for boxes and masks, with the values of each class."""

import json
import logging
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS
from mmengine.logging import MMLogger, print_log
from terminaltables import AsciiTable

from nst_det.errors import UserError
from nst_det.evaluation.functional.coco_ap import PARTS, PYCOCOTOOLS, CocoAP, coco_ap, load_backend
from nst_det.evaluation.functional.coco_results import coco_results

TARGETS = ('bbox', 'segm')


@METRICS.register_module()
class CocoDetectionMetric(CocoMetric):
    """``CocoMetric`` of mmdet, with the values of each class and a choice of who computes them.

    It takes the arguments of ``CocoMetric`` and returns the same keys, such as
    ``coco/bbox_mAP_50``. The differences:

    - It also returns ``bbox_AP/<class>`` and ``segm_AP/<class>``: of each class and each target.
    - The values are not rounded to three digits.
    - At most 100 detections in an image count, by COCO's definition; mmdet counts 1000 in all
      values but mAP, which differs for detectors that return more than 100.
    - Without any detection the values are 0, so that ``save_best`` finds its key.
    - An annotation with the id 0, or with that of another one, counts as well. pycocotools takes 0
      for "no match"; mmdet's own converter of VOC begins at 0.

    Args:
        *args: The positional arguments of ``CocoMetric``.
        backend (str): Who computes the values: ``'pycocotools'``, or ``'faster_coco_eval'``, which
            gives the same values many times faster and must be installed. Defaults to
            ``'pycocotools'``.
        **kwargs: The other arguments of ``CocoMetric``. ``metric`` may be ``'bbox'``, ``'segm'`` or
            both.

    Raises:
        UserError: If the backend is unknown or not installed, or another ``metric`` is asked for.
    """

    def __init__(self, *args: Any, backend: str = PYCOCOTOOLS, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        load_backend(backend)
        self.backend = backend
        for metric in self.metrics:
            if metric not in TARGETS:
                raise UserError(
                    f"metric={metric!r}, expected bbox or segm: for others use type='CocoMetric'",
                    'metric',
                )

    def compute_metrics(self, results: list) -> dict:
        """Compute the metrics over all images.

        Args:
            results (list): The annotations and the detections of each image.

        Returns:
            dict: The values by key, from 0 to 1.
        """
        if self.format_only:
            return super().compute_metrics(results)
        annotated, detected = zip(*results)
        truth = self._truth(annotated)
        _warn_of_ids([annotation['id'] for annotation in truth['annotations']])
        names = list(self.dataset_meta['classes'])
        id_of = {category['name']: category['id'] for category in truth['categories']}
        missing = [name for name in names if name not in id_of]
        if missing:
            raise UserError(
                f'the annotations have no category {missing[0]!r}: correct the ann_file of the '
                'evaluator or the classes of the data set'
            )
        category_ids = [id_of[name] for name in names]
        if self.outfile_prefix is not None:
            self.cat_ids = category_ids
            self.results2json(detected, self.outfile_prefix)
        values: dict[str, float] = {}
        for target in self.metrics:
            detections = [
                result
                for image in detected
                for result in coco_results(image['img_id'], image, category_ids, target)
            ]
            measured = coco_ap(truth, detections, target, names, self.iou_thrs, self.backend)
            self._log(target, measured)
            values |= {f'{target}_{part}': measured.summary[part] for part in self.parts}
            values |= {
                f'{target}_AP/{name}': parts['mAP'] for name, parts in measured.classes.items()
            }
        return {key: value for key, value in values.items() if not math.isnan(value)}

    @property
    def parts(self) -> Sequence[str]:
        """Sequence[str]: The values over all classes, ``metric_items`` or all."""
        return self.metric_items or PARTS

    def _truth(self, annotated: Sequence[dict]) -> dict:
        """The annotation file, or what the data set gave of it."""
        if self._coco_api is not None:
            return self._coco_api.dataset
        with tempfile.TemporaryDirectory() as folder:
            file = self.gt_to_coco_json(annotated, str(Path(folder, 'results')))
            return json.loads(Path(file).read_text())

    def _log(self, target: str, measured: CocoAP) -> None:
        rows = [['class', *PARTS]]
        for name, parts in [*measured.classes.items(), ('all', measured.summary)]:
            rows.append([name, *(f'{parts[part]:.3f}' for part in PARTS)])
        MMLogger.get_current_instance().info(f'{target}:\n{AsciiTable(rows).table}')


def _warn_of_ids(ids: Sequence[int]) -> None:
    """Log that other evaluators give other values for these ids of annotations."""
    repeated = len(ids) - len(set(ids))
    if 0 in ids or repeated:
        print_log(
            f'{ids.count(0)} annotations have the id 0, and {repeated} the id of another one: they '
            'are counted here, but not by CocoMetric, whose values will be lower',
            'current',
            logging.WARNING,
        )
