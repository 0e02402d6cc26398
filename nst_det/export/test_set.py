"""The test set of a config or another one: images to verify with, and mAP of graphs."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import DATASETS
from mmdet.structures import DetDataSample
from mmengine.config import Config, ConfigDict
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData
from torch import Tensor, nn
from tqdm import tqdm

from nst_det.errors import UserError, one_line
from nst_det.export.info import dataset_line, test_dataset
from nst_det.export.verify import Batch
from nst_det.fileio.find import find_devkits
from nst_det.runtime.detections import ImageDetections, detections_in
from nst_det.runtime.session import Session

MAP_TOLERANCE = 1e-4
COCO_FOLDERS = ('.', 'images', '..', '../images')  # seen from the folder of a COCO JSON


class TestSet:
    """A data set with a metric, as the config of a detector tests it.

    Args:
        cfg (Config): The config.
        source (Path, optional): A VOC devkit or a COCO JSON to test on instead. Defaults to None.

    Raises:
        UserError: If there is no such data set, or the config has none.
    """

    __test__ = False  # no test of pytest, in spite of its name

    def __init__(self, cfg: Config, source: Path | None = None) -> None:
        dataset = deepcopy(test_dataset(cfg))
        evaluator = deepcopy(cfg.get('test_evaluator'))
        if not dataset or not evaluator:
            raise UserError('the config has no test_dataloader with a test_evaluator')
        if source is not None:
            dataset, evaluator = _of_source(source, dataset, evaluator)
        try:
            self.dataset = DATASETS.build(dataset)
            self.dataset.full_init()
        except UserError:
            raise
        except Exception as error:  # each data set raises its own kinds
            raise UserError(f'the test set cannot be read: {one_line(error):.300}') from error
        if not len(self.dataset):
            raise UserError('the test set has no images')
        self._evaluator = evaluator
        self._config = dataset

    @property
    def description(self) -> str:
        """str: Its type, its annotations and the number of its images."""
        return f'{dataset_line(self._config)}, {len(self.dataset)} images'

    def batches(self, number: int) -> Iterator[Batch]:
        """Give images from all over the set, as its pipeline makes them.

        Args:
            number (int): How many, at most.

        Yields:
            Batch: One image.
        """
        for i in spaced(len(self.dataset), number):
            yield Batch('test images', self.dataset[i]['inputs'].float()[None])

    def evaluate_detector(self, detector: nn.Module) -> dict[str, float]:
        """Measure the mean average precision of a detector on all images.

        Args:
            detector (nn.Module): The detector, in evaluation mode, on the CPU.

        Returns:
            dict[str, float]: The means by key, such as ``'pascal_voc/mAP'``.
        """

        def detect(batch: dict) -> DetDataSample:
            with torch.no_grad():
                return detector.test_step(batch)[0]

        return self._evaluate(detect)

    def evaluate_graph(self, session: Session) -> dict[str, float]:
        """Measure the mean average precision of a graph on all images.

        Args:
            session (Session): The graph.

        Returns:
            dict[str, float]: The means by key.
        """

        def detect(batch: dict) -> DetDataSample:
            (sample,) = batch['data_samples']
            sample.pred_instances = _instances(session, batch['inputs'][0], sample.metainfo)
            return sample

        return self._evaluate(detect)

    def _evaluate(self, detect: Callable[[dict], DetDataSample]) -> dict[str, float]:
        evaluator = Evaluator(deepcopy(self._evaluator))
        evaluator.dataset_meta = self.dataset.metainfo
        for i in tqdm(range(len(self.dataset)), 'testing', leave=False):
            data = self.dataset[i]
            batch = dict(inputs=[data['inputs']], data_samples=[data['data_samples']])
            evaluator.process(data_samples=[detect(deepcopy(batch))], data_batch=batch)
        values = evaluator.evaluate(len(self.dataset))
        return {key: float(value) for key, value in values.items() if 'mAP' in key}


def spaced(length: int, number: int) -> list[int]:
    """Choose indices from all over a sequence.

    Args:
        length (int): Its length.
        number (int): How many to choose, at most.

    Returns:
        list[int]: The indices, rising.
    """
    return sorted({int(i * length / number) for i in range(number)}) if length else []


def map_difference(given: Mapping[str, float], expected: Mapping[str, float]) -> float:
    """Find the largest difference between two sets of mean average precisions.

    Args:
        given (Mapping[str, float]): By key.
        expected (Mapping[str, float]): By key.

    Returns:
        float: The difference; infinite where only one side has a value, or one is NaN.
    """
    largest = 0.0
    for key in {*given, *expected}:
        pair = given.get(key, math.nan), expected.get(key, math.nan)
        difference = abs(pair[0] - pair[1])
        largest = max(largest, math.inf if math.isnan(difference) else difference)
    return largest


def _instances(session: Session, inputs: Tensor, info: Mapping[str, Any]) -> InstanceData:
    """Detect with a graph in an image of the pipeline, in pixels of the image's file."""
    outputs = session.run(inputs.float()[None].numpy())
    size = tuple(info['ori_shape'][:2])
    scale = tuple(info.get('scale_factor', (1.0, 1.0)))
    found: ImageDetections = detections_in(outputs, 0, Path(), size, scale, session.info)
    instances = InstanceData(
        bboxes=torch.from_numpy(found.boxes),
        scores=torch.from_numpy(found.scores),
        labels=torch.from_numpy(found.labels),
    )
    if found.masks is not None:
        instances.masks = torch.from_numpy(found.masks)
    return instances


def _of_source(source: Path, dataset: ConfigDict, evaluator: Any) -> tuple[ConfigDict, Any]:
    """Put another set in the place of the test set of a config."""
    if source.is_dir():
        devkits = find_devkits(source)
        if 'data_root' not in dataset or 'Coco' in str(dataset.get('type')):
            raise UserError(
                f'{source} is a VOC devkit, and the test set of the config is a '
                f'{dataset.get("type")}: give a COCO JSON'
            )
        dataset.data_root = f'{devkits[0].root.parent}/'
        return dataset, evaluator
    if source.suffix != '.json' or not source.is_file():
        raise UserError(f'there is no data set {source.absolute()}: expected a devkit or a .json')
    if 'Coco' not in str(dataset.get('type')):
        raise UserError(
            f'{source} is a COCO JSON, and the test set of the config is a {dataset.get("type")}: '
            'give a VOC devkit'
        )
    folder = _coco_images(source)
    dataset.update(
        ann_file=str(source.absolute()), data_root='', data_prefix=dict(img=f'{folder}/')
    )
    for metric in evaluator if isinstance(evaluator, (list, tuple)) else [evaluator]:
        if 'ann_file' in metric:
            metric['ann_file'] = str(source.absolute())
    return dataset, evaluator


def _coco_images(source: Path) -> Path:
    """Find the folder of the images of a COCO JSON, from where its first image is."""
    images = json.loads(source.read_text()).get('images') or []
    if not images:
        raise UserError(f'{source} lists no images')
    split = source.stem.rpartition('_')[2]  # val2017 of instances_val2017
    places = (*COCO_FOLDERS, split, f'../{split}')
    for place in places:
        folder = (source.parent / place).resolve()
        if (folder / images[0]['file_name']).is_file():
            return folder
    raise UserError(
        f'{source} names the image {images[0]["file_name"]}, which is not in {source.parent}, in '
        f'its images/ or {split}/, nor in these two beside it'
    )
