"""The description that an exported model carries, from the detector and its config."""

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.config import Config

from nst_det.errors import UserError
from nst_det.export.detector_graph import DetectorGraph
from nst_det.runtime.model_info import ModelInfo, Pad, Resize

LOADERS = ('LoadImageFromFile', 'LoadVerifiedImage')
COLORS = {1: ('grayscale', 'unchanged'), 3: ('color', 'unchanged')}  # by the number of channels
ANNOTATIONS = ('LoadAnnotations', 'PackDetInputs')
MULTIPLES = (1, 32, 64, 128)
PAD_VALUE = 0.0  # of mmcv's Pad


def model_info(
    graph: DetectorGraph, cfg: Config, classes: list[str] | tuple[str, ...]
) -> ModelInfo:
    """Describe an exported detector.

    Args:
        graph (DetectorGraph): The detector.
        cfg (Config): Its config, from whose test pipeline the preprocessing is read.
        classes (list[str] | tuple[str, ...]): The names of its classes.

    Returns:
        ModelInfo: The description.

    Raises:
        UserError: If the test pipeline does what a runtime without mmdet cannot do, or there is
            another number of classes than the head has.
    """
    if len(classes) != graph.num_classes:
        raise UserError(
            f'the detector has {graph.num_classes} classes, and its data set names {len(classes)}: '
            'give the data set of the config metainfo=dict(classes=…)'
        )
    masks = graph.mask_kind
    return ModelInfo(
        type(graph.detector).__name__,
        tuple(classes),
        graph.channels,
        *read_pipeline(test_pipeline(cfg), graph.channels),
        smallest_multiple(graph),
        masks,
        graph.mask_threshold if masks else 0.5,
        graph.mask_stride,
    )


def test_dataset(cfg: Config) -> dict[str, Any]:
    """Find the config of the innermost test data set.

    Args:
        cfg (Config): The complete config.

    Returns:
        dict[str, Any]: Its part; empty if there is none.
    """
    dataset = (cfg.get('test_dataloader') or {}).get('dataset') or {}
    while 'dataset' in dataset:
        dataset = dataset['dataset']
    return dataset


def dataset_line(dataset: Mapping[str, Any]) -> str:
    """Describe a data set in a line.

    Args:
        dataset (Mapping[str, Any]): Its config; data sets in it are found.

    Returns:
        str: Types and annotations.
    """
    inner = dataset
    while 'dataset' in inner:
        inner = inner['dataset']
    parts = inner.get('datasets') or [inner]
    lines = [
        f'{part.get("type")} {part.get("data_root") or ""}{part.get("ann_file") or ""}'
        for part in parts
    ]
    return '; '.join(map(str.strip, lines)) if dataset else 'none in the config'


def test_pipeline(cfg: Config) -> list[dict]:
    """Find the test pipeline of a config.

    Args:
        cfg (Config): The complete config.

    Returns:
        list[dict]: Its transforms.

    Raises:
        UserError: If there is none.
    """
    pipeline = test_dataset(cfg).get('pipeline') or cfg.get('test_pipeline')
    if not pipeline:
        raise UserError('the config has no test pipeline, which tells how images are scaled')
    return list(pipeline)


def read_pipeline(pipeline: list[dict], channels: int = 3) -> tuple[Resize | None, Pad | None]:
    """Read how images are scaled and padded.

    Args:
        pipeline (list[dict]): The transforms of a test pipeline.
        channels (int): How many channels the detector takes. Defaults to 3.

    Returns:
        tuple[Resize | None, Pad | None]: The scaling and the padding.

    Raises:
        UserError: If a transform does anything else, or another kind of it, or images have neither
            one channel nor three.
    """
    if channels not in COLORS:
        raise UserError(
            f'its images have {channels} channels, and a runtime without mmdet reads 1 or 3'
        )
    resize, pad = None, None
    for transform in pipeline:
        kind = str(getattr(transform['type'], '__name__', transform['type'])).split('.')[-1]
        if kind in LOADERS:
            _refuse_unless(transform, kind, color_type=COLORS[channels], imdecode_backend='cv2')
        elif kind == 'Resize' and resize is None and pad is None:
            _refuse_unless(transform, kind, interpolation='bilinear', backend='cv2')
            resize = _read_resize(transform)
        elif kind == 'Pad' and pad is None:
            _refuse_unless(transform, kind, padding_mode='constant')
            pad = _read_pad(transform)
        elif kind not in ANNOTATIONS:
            raise UserError(
                f'the test pipeline has a {kind}, which a runtime without mmdet does not know: it '
                'knows Resize, then Pad'
            )
    return resize, pad


def _read_resize(transform: dict) -> Resize:
    scale = transform.get('scale')
    relative = scale is None
    if relative:
        scale = transform.get('scale_factor')
    width, height = scale if isinstance(scale, (list, tuple)) else (scale, scale)
    return Resize((width, height), bool(transform.get('keep_ratio', False)), relative)


def _read_pad(transform: dict) -> Pad:
    value = transform.get('pad_val', PAD_VALUE)
    value = value.get('img', PAD_VALUE) if isinstance(value, dict) else value
    values = value if isinstance(value, (list, tuple)) else [value] * 3
    size = transform.get('size')
    square = bool(transform.get('pad_to_square', False))
    divisor = int(transform.get('size_divisor') or 1)
    return Pad(tuple(size) if size else None, divisor, square, tuple(map(float, values)))


def _refuse_unless(transform: dict, kind: str, **expected: Any) -> None:
    for option, values in expected.items():
        allowed = values if isinstance(values, tuple) else (values,)
        if transform.get(option, allowed[0]) not in allowed:
            raise UserError(
                f"the {kind} of the test pipeline has {option}='{transform[option]}', expected "
                f"'{allowed[0]}'"
            )


@torch.no_grad()
def smallest_multiple(graph: DetectorGraph) -> int:
    """Find out of what number height and width of an image must be multiples.

    Args:
        graph (DetectorGraph): The detector.

    Returns:
        int: 1 for most detectors; 32 for one whose neck joins feature maps of fixed ratios.

    Raises:
        UserError: If it takes no image that was tried.
    """
    for multiple in MULTIPLES:
        shape = (-(-side // multiple) * multiple for side in (161, 223))
        try:
            graph(torch.zeros(1, graph.channels, *shape))
            return multiple
        except (RuntimeError, ValueError):  # ours for timm's networks is a ValueError
            continue
    raise UserError('it takes no image: tried sides that are multiples of 1, 32, 64 and 128')
