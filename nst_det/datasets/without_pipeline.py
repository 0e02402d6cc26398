"""A data set of which only the annotations are wanted."""

from collections.abc import Mapping
from typing import Any

from mmdet.datasets import BaseDetDataset
from mmdet.registry import DATASETS


def build_without_pipeline(cfg: Mapping[str, Any]) -> BaseDetDataset:
    """Build a data set, and the data sets in it, without their pipelines.

    Args:
        cfg (Mapping[str, Any]): The config of the data set, which may be one that wraps others.

    Returns:
        BaseDetDataset: The data set with its annotations read.
    """
    dataset = DATASETS.build(_without_pipeline(cfg))
    dataset.full_init()
    return dataset


def _without_pipeline(cfg: Mapping[str, Any]) -> dict[str, Any]:
    bare = dict(cfg)
    if 'datasets' in bare:
        bare['datasets'] = [_without_pipeline(inner) for inner in bare['datasets']]
    elif 'dataset' in bare:
        bare['dataset'] = _without_pipeline(bare['dataset'])
    else:
        bare['pipeline'] = []
    return bare
