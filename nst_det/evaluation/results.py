"""Reading test results: the name and the meaning of each value in the JSON of an evaluator."""

import json
import math
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nst_det.errors import UserError

COCO_IOU = '0.50:0.95'
# The loggers of mmengine write these beside the metrics.
NOT_A_METRIC = frozenset(
    ('base_lr', 'data_time', 'epoch', 'iter', 'loss', 'lr', 'memory', 'momentum', 'step', 'time')
)
# The IoU threshold of a key that is called mAP alone, where its evaluator reports no other key.
IOU_OF_MAP = {
    'cityscapes': COCO_IOU,
    'crowd_human': '0.50',
    'openimages': '0.50',
    'pascal_voc': '0.50',
}
TARGETS = {'bbox': 'box', 'segm': 'mask', 'keypoints': 'keypoint'}
OBJECTS = {
    's': 'small objects',
    'm': 'medium objects',
    'l': 'large objects',
    'r': 'rare classes',
    'c': 'common classes',
    'f': 'frequent classes',
}
LOWER_IS_BETTER = re.compile(
    r'(^|_)(mMR|MR|miss|error|err|loss|mse|rmse|mae|fid|distance)(_|$)', re.IGNORECASE
)


@dataclass(frozen=True)
class Metric:
    """One quantity that an evaluator reports.

    Args:
        key (str): Its key in the JSON, such as ``'coco/bbox_mAP_50'``.
        name (str): The short name, such as ``'mAP'`` or ``'box mAP'``.
        iou (str): The IoU thresholds, such as ``'0.50'`` or ``'0.50:0.95'``. Defaults to ``''``:
            not known, or there are none.
        objects (str): The objects that count, such as ``'small objects'``. Defaults to ``''``, all.
        percent (bool): Whether the value is a fraction that is shown in percent. Defaults to True.
        higher_is_better (bool): The direction. Defaults to True.
        is_mean (bool): Whether it is the mean average precision over all classes and objects at
            the thresholds of its protocol, so that it can be the main metric. Defaults to False.
        decimals (int): The decimal places of a value in percent. Defaults to 1.
    """

    key: str
    name: str
    iou: str = ''
    objects: str = ''
    percent: bool = True
    higher_is_better: bool = True
    is_mean: bool = False
    decimals: int = 1

    @property
    def title(self) -> str:
        """str: The name with its thresholds and objects, such as ``'mAP (IoU 0.50)'``."""
        details = [f'IoU {self.iou}' if self.iou else '', self.objects]
        text = ', '.join(detail for detail in details if detail)
        return f'{self.name} ({text})' if text else self.name

    @property
    def unit(self) -> str:
        """str: ``'%'``, or ``''`` for a value without a unit."""
        return '%' if self.percent else ''

    @property
    def spec(self) -> str:
        """str: The format of a value in its unit."""
        return f'.{self.decimals}f' if self.percent else '.4g'

    @property
    def counts_as_voc(self) -> bool:
        """bool: Whether it is the mean AP at IoU 0.50 that VOC defines."""
        return self.is_mean and self.name == 'mAP' and self.iou == '0.50'

    def scaled(self, value: float) -> float:
        """Convert a value of the JSON to the unit in which it is shown.

        Args:
            value (float): The value in the JSON.

        Returns:
            float: The value in percent, or the value itself.
        """
        return 100 * value if self.percent else value

    def text(self, value: float | None, signed: bool = False) -> str:
        """Write a value of the JSON as it is shown, without the unit.

        Args:
            value (float or None): The value in the JSON.
            signed (bool): Write the plus sign of a difference. Defaults to False.

        Returns:
            str: In percent with its decimal places, else four digits; ``'–'`` for None and NaN.
        """
        if value is None or math.isnan(value):
            return '–'
        return number_text(self.scaled(value), signed, self.spec)


class Results:
    """The results of one test, or of one validation.

    Args:
        values (Mapping[str, Any]): The JSON of a test, or an entry of the training log. Values that
            are not finite numbers, and values that are logged beside the metrics (times, steps),
            are left out. A negative AP is left out as well: COCO reports it if the data has no such
            object.
        evaluators (dict, list[dict] or None): The ``test_evaluator`` of the config, whose
            ``iou_thrs`` replace the usual thresholds. Defaults to None.
        main (str, optional): The key of the metric to compare by. Defaults to None: see below.

    Attributes:
        values (dict[str, float]): The values by key.
        metrics (list[Metric]): The metrics over all classes, in the order of the JSON. VOC's AP50
            is left out if mAP is the mean over that one threshold, because it is the same value.
        main (Metric or None): The metric that runs are compared by: the one that was asked for,
            else the first mean average precision, else the first metric. None if there is no value.
        by_class (dict[Metric, dict[str, float]]): The values by class of each metric that has any.
        class_mean (Metric or None): The main metric if it is one of these, else the first of them.
        classes (dict[str, float]): The value of ``class_mean`` by class; empty if the evaluator
            reports none.
    """

    def __init__(
        self, values: Mapping[str, Any], evaluators: Any = None, main: str | None = None
    ) -> None:
        self.values = {key: value for key, value in values.items() if _is_result(key, value)}
        iou_thrs = _iou_thrs(evaluators)
        described = [_describe(key, self.values, iou_thrs) for key in self.values]
        means = [metric for metric in described if metric is not None and metric.is_mean]
        by_class = _class_keys(self.values, means)
        self.metrics = [
            metric
            for metric in described
            if metric is not None and metric.key not in by_class
            if not (metric.percent and self.values[metric.key] < 0)
            if not _repeats_a_mean(metric, means)
        ]
        self.by_class: dict[Metric, dict[str, float]] = {}
        for key, (name, metric) in by_class.items():
            self.by_class.setdefault(metric, {})[name] = self.values[key]
        candidates = [metric for metric in self.metrics if metric.is_mean] or self.metrics
        if main is not None:
            candidates = [metric for metric in self.metrics if metric.key == main]
        self.main = candidates[0] if candidates else None
        self.class_mean = next(
            iter([metric for metric in self.by_class if metric == self.main] or self.by_class), None
        )
        self.classes = self.by_class.get(self.class_mean, {}) if self.class_mean else {}

    @property
    def score(self) -> float | None:
        """float or None: The value of the main metric, as in the JSON."""
        return None if self.main is None else self.values[self.main.key]

    @property
    def text(self) -> str:
        """str: The main metric and its value, such as ``'mAP 76.8'``."""
        if self.main is None:
            return 'no result'
        return f'{self.main.name} {self.main.text(self.score)}'

    def value(self, metric: Metric) -> float | None:
        """The value of a metric.

        Args:
            metric (Metric): The metric, of this test or of another one.

        Returns:
            float or None: The value as in the JSON; None if this test does not report it at the
            same thresholds.
        """
        found = next((own for own in self.metrics if own == metric), None)
        return None if found is None else self.values[found.key]


def read_results(file: Path, evaluators: Any = None) -> Results:
    """Read the JSON that a test wrote.

    Args:
        file (Path): The JSON file, ``<timestamp>.json``.
        evaluators (dict, list[dict] or None): The ``test_evaluator`` of the config. Defaults to
            None.

    Returns:
        Results: The results.

    Raises:
        UserError: If the file is not the JSON of a test.
    """
    return Results(read_values(file), evaluators)


def read_values(file: Path) -> dict[str, float]:
    """Read the finite numbers in the JSON that a test wrote, those beside the metrics included.

    Args:
        file (Path): The JSON file, ``<timestamp>.json``.

    Returns:
        dict[str, float]: The numbers by key.

    Raises:
        UserError: If the file is not the JSON of a test.
    """
    try:
        values = json.loads(file.read_text())
    except ValueError as error:
        raise UserError(f'the test result {file} is damaged: test again') from error
    if not isinstance(values, dict):
        raise UserError(f'{file} is not the result of a test: test again')
    return {key: value for key, value in values.items() if _is_finite_number(value)}


def number_text(value: float, signed: bool = False, spec: str = '.1f') -> str:
    """Write a number, and never a zero with a sign.

    Args:
        value (float): The number.
        signed (bool): Write the plus sign too. Defaults to False.
        spec (str): The format. Defaults to ``'.1f'``.

    Returns:
        str: The number.
    """
    text = format(value, spec)
    if float(text) == 0:
        return text.lstrip('-')
    return f'+{text}' if signed and value > 0 else text


def _is_result(key: str, value: Any) -> bool:
    return _is_finite_number(value) and key.rpartition('/')[2] not in NOT_A_METRIC


def _is_finite_number(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and abs(value) <= sys.float_info.max  # a JSON may hold a larger integer


def _repeats_a_mean(metric: Metric, means: list[Metric]) -> bool:
    prefix = _split(metric.key)[0]
    same = replace(metric, key=f'{prefix}/mAP' if prefix else 'mAP', name='mAP', is_mean=True)
    return metric.name == 'AP' and same in means


def _iou_thrs(evaluators: Any) -> str | None:
    """The IoU thresholds that a config sets for COCO, as text; None if it sets none."""
    listed = [evaluators] if isinstance(evaluators, Mapping) else evaluators or []
    for evaluator in listed:
        thresholds = evaluator.get('iou_thrs')
        if thresholds is not None and 'Coco' in str(evaluator.get('type')):
            return _threshold_list(
                thresholds if isinstance(thresholds, (list, tuple)) else [thresholds]
            )
    return None


def _threshold_list(thresholds: Iterable[float]) -> str:
    return ', '.join(f'{threshold:.2f}' for threshold in thresholds)


def _describe(key: str, values: Mapping[str, float], iou_thrs: str | None) -> Metric | None:
    """What a key means; None if it is the AP of one class by VOC."""
    prefix, name = _split(key)
    if 'AP/' in name:
        return None
    if name == 'mAP':
        return Metric(key, 'mAP', _iou_of_map(prefix, values), is_mean=True)
    if match := re.fullmatch(r'AP@?(\d\d+(?:\.\d+)?)', name):  # VOC, Open Images, Cityscapes
        return Metric(key, 'AP', f'{float(match[1]) / 100:.2f}')
    if match := re.fullmatch(r'(\w+?)_m?AP(?:_?(50|75|[smlrcf]))?', name):  # COCO, LVIS
        target, part = match.groups()
        metric = Metric(key, f'{TARGETS.get(target, target)} mAP', iou_thrs or COCO_IOU)
        if part in ('50', '75'):
            return replace(metric, iou=f'0.{part}')
        return replace(metric, objects=OBJECTS.get(part, ''), is_mean=part is None)
    if match := re.fullmatch(r'AR(?:_?([sml]))?@(\d+)', name):
        text = f'average recall of {match[2]} proposals'
        return Metric(key, text, objects=OBJECTS.get(match[1], ''))
    if match := re.fullmatch(r'recall@(\d+)@([\d.]+)', name):
        return Metric(key, f'recall of {match[1]} proposals', f'{float(match[2]):.2f}')
    if match := re.fullmatch(r'top(\d+)_error', name):  # ClassificationError, a fraction
        return Metric(key, f'top-{match[1]} error', higher_is_better=False, decimals=2)
    known = name in ('mMR', 'JI')  # of Crowd Human, fractions both
    return Metric(key, name, percent=known, higher_is_better=LOWER_IS_BETTER.search(name) is None)


def _split(key: str) -> tuple[str, str]:
    """The prefix of an evaluator and the name of a metric; the name of a class may have a slash."""
    if match := re.match(r'(?:(.*?)/)?((?:[a-z]+_)?AP/.+)', key, re.DOTALL):
        return match[1] or '', match[2]
    prefix, _, name = key.rpartition('/')
    return prefix, name


def _iou_of_map(prefix: str, values: Mapping[str, float]) -> str:
    """The thresholds that VOC's mAP is the mean over: those that the JSON reports an AP of."""
    found = [
        float(match[1]) / 100
        for key in values
        if _split(key)[0] == prefix and (match := re.fullmatch(r'AP(\d\d+.*)', _split(key)[1]))
    ]
    if len(found) > 3:
        return f'{min(found):.2f}:{max(found):.2f}'
    return _threshold_list(found) or IOU_OF_MAP.get(prefix, '')


def _class_keys(values: Mapping[str, float], means: list[Metric]) -> dict[str, tuple[str, Metric]]:
    """The keys of values by class: the class and the metric of each.

    CocoMetric of mmdet writes the classes of all targets under the same keys, so that those of the
    last target (masks, after boxes) are what is left; CocoDetectionMetric keeps them apart.
    """
    found: dict[str, tuple[str, Metric]] = {}
    for metric in means:
        prefix, name = _split(metric.key)
        start = f'{prefix}/' if prefix else ''
        for key in values:
            rest = key.removeprefix(start)
            if not key.startswith(start):
                continue
            own = re.sub('m?AP$', 'AP/', name)  # of VOC, and of our metric for COCO
            if rest.startswith(own):
                found[key] = rest.removeprefix(own), metric
            elif name != 'mAP' and rest.endswith('_precision'):
                found[key] = rest.removesuffix('_precision'), metric
    return found
