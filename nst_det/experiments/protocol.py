"""The test that all rows of a table share: its images, its classes and its metric."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from mmdet.evaluation import VOCMetric
from mmdet.registry import DATASETS, METRICS
from mmengine.config import Config
from mmengine.registry import Registry

from nst_det.errors import UserError

VOC = 'VOC'


@dataclass(frozen=True)
class Protocol:
    """The images and the metric that the rows of a table are tested with.

    Args:
        images (str): The list of the test images, or their split.
        classes (tuple[str, ...]): The classes.
        metric (str): ``'VOC'`` for the metrics of VOC, else the type of the evaluator.
        protocol (str): How VOC takes AP, such as ``'11 points'``; ``''`` for other metrics.
        overlap (str): The IoU thresholds that the config sets, ``'0.5'`` for VOC by default.
        dataset (str): The type of the data set, which may differ: two types can read the same
            images. Defaults to ``''``.
    """

    images: str
    classes: tuple[str, ...]
    metric: str
    protocol: str
    overlap: str
    dataset: str = field(default='', compare=False)


def shared_protocol(configs: Mapping[str, Config]) -> Protocol:
    """Find the test that some configs share, so that a difference shows before a training.

    Args:
        configs (Mapping[str, Config]): The configs of the rows by name, with that of the teacher.

    Returns:
        Protocol: The test.

    Raises:
        UserError: If a config has no test, or two configs have different tests.
    """
    protocols = {name: _protocol(name, cfg) for name, cfg in configs.items()}
    (first, shared), *others = protocols.items()
    for name, protocol in others:
        for part in (compared.name for compared in fields(Protocol) if compared.compare):
            value, differing = getattr(shared, part), getattr(protocol, part)
            if differing != value:
                raise UserError(
                    f'the test differs in its {part}: {value} in {first}, {differing} in '
                    f'{name}: one table needs one test'
                )
    return shared


def evaluators(cfg: Config) -> list[dict]:
    """List the evaluators of the test of a config.

    Args:
        cfg (Config): The config.

    Returns:
        list[dict]: The evaluators, those of VOC first.
    """
    found: Any = cfg.get('test_evaluator') or []
    found = [found] if isinstance(found, dict) else list(found)
    return sorted(found, key=lambda evaluator: not is_voc(evaluator))


def is_voc(evaluator: dict) -> bool:
    """Whether an evaluator computes the metric of VOC.

    Args:
        evaluator (dict): Its config.

    Returns:
        bool: Whether its type is ``VOCMetric`` or derived from it.
    """
    found = _class(evaluator, METRICS)
    return isinstance(found, type) and issubclass(found, VOCMetric)


def _protocol(name: str, cfg: Config) -> Protocol:
    dataset = (cfg.get('test_dataloader') or {}).get('dataset')
    metric = next(iter(evaluators(cfg)), None)
    if not dataset or metric is None:
        raise UserError(
            f'{name} has no test_dataloader with a dataset, or no test_evaluator: a row needs a '
            'test, see configs/_base_/datasets/voc07.py'
        )
    registered = getattr(_class(dataset, DATASETS), 'METAINFO', {})
    classes = (dataset.get('metainfo') or {}).get('classes') or registered.get('classes', ())
    voc = is_voc(metric)
    mode = metric.get('eval_mode', '11points') if voc else ''
    overlap = metric.get('iou_thrs') or (0.5 if voc else '')
    listed = dataset.get('ann_file') or dataset.get('split') or ''
    return Protocol(
        images=str(Path(dataset.get('data_root') or '', listed).resolve()),
        classes=tuple(classes),
        metric=VOC if voc else _name(metric),
        protocol='11 points' if mode == '11points' else mode,
        overlap=str(overlap),
        dataset=_name(dataset),
    )


def _name(part: dict) -> str:
    """The name of the class of a part of a config."""
    kind = part.get('type')
    return kind if isinstance(kind, str) else getattr(kind, '__name__', str(kind))


def _class(part: dict, registry: Registry) -> Any:
    """The class of a part of a config, which pure Python configs hold itself."""
    kind = part.get('type')
    return registry.get(kind) if isinstance(kind, str) else kind
