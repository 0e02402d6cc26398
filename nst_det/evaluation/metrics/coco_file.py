"""Detections written as a file in COCO's format of results."""

import json
from pathlib import Path

from mmdet.evaluation import DumpDetResults
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from nst_det.evaluation.functional.coco_results import coco_results
from nst_det.evaluation.functional.coco_truth import CocoTruth
from nst_det.fileio.atomic import write_atomically


class CocoResultsFile(DumpDetResults):
    """Writes the detections of a test as JSON, as COCO's server and other programs read them.

    For a data set without COCO's annotations, it writes these as well, into ``<name>_truth.json``
    beside the file, because the detections refer to the ids of images and categories in them.

    Args:
        file (str | Path): The file to write.
        truth (CocoTruth): The annotations of the test set.
    """

    def __init__(self, file: str | Path, truth: CocoTruth) -> None:
        BaseMetric.__init__(self, collect_device='cpu')
        self.file = Path(file)
        self.truth = truth

    def compute_metrics(self, results: list) -> dict:
        """Write the file.

        Args:
            results (list): The predictions for each image.

        Returns:
            dict: Nothing.
        """
        detections = [
            detection
            for sample in results
            for detection in coco_results(
                self.truth.image_ids[sample['img_id']],
                sample['pred_instances'],
                self.truth.category_ids,
            )
        ]
        self.file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.file, json.dumps(detections).encode())
        print_log(f'{len(detections)} detections are in {self.file}', 'current')
        if self.truth.is_converted:
            file = self.file.with_name(f'{self.file.stem}_truth.json')
            write_atomically(file, json.dumps(self.truth.content).encode())
            print_log(
                f'the images, categories and annotations they refer to are in {file}', 'current'
            )
        return {}
