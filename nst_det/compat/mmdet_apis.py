"""mmdet's ``init_detector``, ``DetInferencer`` and analysis tools with the configs of this package.

The problem: mmdet 3.3 reads ``cfg.model.backbone``, which the config of a distiller has inside its
student. And it finds the loading of images only by the name ``LoadImageFromFile``, not in a class
that is derived from it, such as ``LoadVerifiedImage``.

The answer: these functions build the student of a distiller, which is what predicts, and accept
every class derived from the one that they look for.

It can go when mmdet builds any registered detector, and asks what a transform is.
"""

import copy
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mmdet.apis
import mmdet.apis.inference
import mmdet.datasets
import mmdet.datasets.utils
from mmcv.transforms import LoadImageFromFile
from mmdet.apis import DetInferencer
from mmdet.datasets.transforms import LoadAnnotations, LoadPanopticAnnotations
from mmdet.registry import TRANSFORMS
from mmengine.config import Config, ConfigDict

from nst_det.config.detector import detector_config, is_distiller

LOADING = (LoadImageFromFile, LoadAnnotations, LoadPanopticAnnotations)


def _is_kind(kind: Any, wanted: tuple[type, ...]) -> bool:
    """Whether a type in a config is one of some classes, or derived from one."""
    found = TRANSFORMS.get(kind) if isinstance(kind, str) else kind
    return isinstance(found, type) and issubclass(found, wanted)


def get_loading_pipeline(pipeline: list[dict]) -> list[dict]:
    """Select the steps of a pipeline that load the image and its annotations, as mmdet does."""
    loading = [step for step in pipeline if _is_kind(step['type'], LOADING)]
    assert len(loading) == 2, (
        f'the pipeline loads {len(loading)} things, expected two: the image and its annotations'
    )
    return loading


def _get_transform_idx(self: DetInferencer, pipeline_cfg: list[dict], name: Any) -> int:
    """Find the index of a step of a pipeline; -1 if there is none."""
    names = name if isinstance(name, (tuple, list)) else (name,)
    wanted = tuple(kind for kind in names if isinstance(kind, type))
    for index, step in enumerate(pipeline_cfg):
        if step['type'] in names or (wanted and _is_kind(step['type'], wanted)):
            return index
    return -1


def _with_student(cfg: Any) -> Any:
    """Replace the distiller of a config by its student, in a copy."""
    if is_distiller(cfg):
        cfg = copy.deepcopy(cfg)
        cfg.model = detector_config(cfg)
    return cfg


def _init_detector(original: Callable) -> Callable:
    @functools.wraps(original)
    def init_detector(
        config: str | Path | Config,
        checkpoint: str | None = None,
        palette: str = 'none',
        device: str = 'cuda:0',
        cfg_options: dict | None = None,
    ) -> Any:
        if isinstance(config, (str, Path)):
            config = Config.fromfile(config)
        if isinstance(config, Config):
            if is_distiller(config) and cfg_options is not None:
                config.merge_from_dict(cfg_options)
                cfg_options = {}
            config = _with_student(config)
            if cfg_options is None and 'backbone' not in config.model:
                cfg_options = {}  # so that mmdet does not look for it
        return original(config, checkpoint, palette, device, cfg_options)

    return init_detector


def _init_model(original: Callable) -> Callable:
    @functools.wraps(original)
    def init_model(self: DetInferencer, cfg: ConfigDict, *args: Any, **kwargs: Any) -> Any:
        return original(self, _with_student(cfg), *args, **kwargs)

    return init_model


@functools.cache
def apply() -> None:
    """Let these functions of mmdet take the configs of this package."""
    for module in (mmdet.apis, mmdet.apis.inference):
        module.init_detector = _init_detector(mmdet.apis.inference.init_detector)
    for module in (mmdet.datasets, mmdet.datasets.utils):
        module.get_loading_pipeline = get_loading_pipeline
    DetInferencer._init_model = _init_model(DetInferencer._init_model)
    DetInferencer._get_transform_idx = _get_transform_idx


def read_students() -> None:
    """Let ``Config.fromfile`` give the student of a distiller, from now on in this process.

    mmdet's analysis tools look for the parts of a detector, such as its backbone and its anchors.
    """
    read = Config.fromfile

    @functools.wraps(read)
    def fromfile(*args: Any, **kwargs: Any) -> Config:
        return _with_student(read(*args, **kwargs))

    Config.fromfile = staticmethod(fromfile)
