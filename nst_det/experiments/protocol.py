"""The test that all rows of a table have in common."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mmdet.evaluation import VOCMetric
from mmdet.registry import DATASETS, METRICS
from mmengine.config import Config

from nst_det.errors import UserError


@dataclass(frozen=True)
class Protocol:
    """On what, and how, the rows of a table are tested.

    Args:
        images (str): The list of the test images.
        classes (tuple[str, ...]): The classes.
        protocol (str): How AP is taken, such as ``'11 points'``.
        overlap (str): The IoU from which on a detection is right.
    """

    images: str
    classes: tuple[str, ...]
    protocol: str
    overlap: str


def shared_protocol(configs: Mapping[str, Config]) -> Protocol:
    """Find the test of some configs, before anything is trained for a table in vain.

    Args:
        configs (Mapping[str, Config]): The rows' configs by name, the teacher's included.

    Returns:
        Protocol: Their test.

    Raises:
        UserError: Where one has no test by VOC's metric, or two have different ones.
    """
    tests = {name: _test(name, cfg) for name, cfg in configs.items()}
    (first, common), *others = tests.items()
    for name, test in others:
        for part, value in vars(common).items():
            other = vars(test)[part]
            if other != value:
                raise UserError(
                    f'the test differs in its {part}: {value} in {first}, {other} in '
                    f'{name}: one table needs one test'
                )
    return common


def _test(name: str, cfg: Config) -> Protocol:
    dataset = (cfg.get('test_dataloader') or {}).get('dataset')
    evaluators = cfg.get('test_evaluator')
    if not dataset or not evaluators:
        raise UserError(
            f'{name} has no test_dataloader with a dataset, or no test_evaluator: a row is tested '
            'on VOC, see configs/_base_/datasets/voc07.py'
        )
    metrics = [evaluators] if isinstance(evaluators, dict) else evaluators
    metric = next((one for one in metrics if _is_vocs(one.get('type'))), None)
    if metric is None:
        kinds = ', '.join(str(one.get('type')) for one in metrics)
        raise UserError(
            f'{name} is tested by {kinds}, which gives no VOC mAP: give it '
            "test_evaluator=dict(type='VOCDevkitMetric')"
        )
    known = getattr(DATASETS.get(dataset.get('type')), 'METAINFO', {})
    classes = (dataset.get('metainfo') or {}).get('classes') or known.get('classes', ())
    mode = metric.get('eval_mode', '11points')
    return Protocol(
        str(Path(dataset.get('data_root') or '', dataset.get('ann_file') or '').resolve()),
        tuple(classes),
        '11 points' if mode == '11points' else mode,
        str(metric.get('iou_thrs', 0.5)),
    )


def _is_vocs(kind: str | type) -> bool:
    found = METRICS.get(kind) if isinstance(kind, str) else kind
    return isinstance(found, type) and issubclass(found, VOCMetric)
