"""INT8 by post-training quantisation with the tools of ONNX Runtime."""

import tempfile
from collections.abc import Iterable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.registry import DATASETS
from mmengine.config import Config, ConfigDict
from tqdm import tqdm

from nst_det.errors import UserError, one_line
from nst_det.export.info import ANNOTATIONS, test_pipeline
from nst_det.export.test_set import spaced

QUANTIZED = ('Conv', 'Gemm', 'MatMul')
# Behind these there are detections, whose coordinates 8 bits would round to several pixels.
ENDS = ('TopK', 'NonMaxSuppression', 'GatherElements', 'Gather', 'Softmax')


def calibration_images(cfg: Config, number: int) -> Iterator[np.ndarray]:
    """Give training images, scaled as for a test.

    Args:
        cfg (Config): The config of the detector.
        number (int): How many, at most.

    Yields:
        np.ndarray: `(1, C, H, W)`, float32.

    Raises:
        UserError: If the training set cannot be read.
    """
    dataset = (cfg.get('train_dataloader') or {}).get('dataset') or {}
    while 'dataset' in dataset:
        dataset = dataset['dataset']
    while 'datasets' in dataset:  # several in one: the first will do
        dataset = dataset['datasets'][0]
    if not dataset:
        raise UserError('--int8 is calibrated on training images, and the config has none')
    dataset = ConfigDict(deepcopy(dataset))
    dataset.pipeline = [
        transform
        for transform in test_pipeline(cfg)
        if transform['type'] not in ANNOTATIONS or transform['type'] == 'PackDetInputs'
    ]
    try:
        images = DATASETS.build(dataset)
        images.full_init()
    except UserError:
        raise
    except Exception as error:  # each data set raises its own kinds
        raise UserError(f'the training set cannot be read: {one_line(error):.300}') from error
    chosen = spaced(len(images), number)
    for i in tqdm(chosen, 'calibrating', leave=False):
        yield images[i]['inputs'].float()[None].numpy()


def quantize(graph: bytes, images: Iterable[np.ndarray]) -> bytes:
    """Quantize the convolutions and matrix products of a graph to 8 bits.

    The last ones of each branch stay in float32: they give scores and coordinates.

    Args:
        graph (bytes): The ONNX file.
        images (Iterable[np.ndarray]): What to calibrate with, `(1, C, H, W)` each.

    Returns:
        bytes: The ONNX file in INT8, with QuantizeLinear and DequantizeLinear.

    Raises:
        UserError: If it cannot be quantized.
    """
    import onnx
    from onnxruntime import quantization

    class Images(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self._images = iter(images)

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self._images, None)
            return None if image is None else {'images': image}

    model = onnx.load_from_string(graph)
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, 'float32.onnx'), Path(folder, 'int8.onnx')
        source.write_bytes(graph)
        try:
            quantization.quantize_static(
                str(source),
                str(target),
                Images(),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=list(QUANTIZED),
                nodes_to_exclude=last_layers(model),
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                extra_options=dict(ActivationSymmetric=False),
            )
        except UserError:
            raise
        except Exception as error:  # the tool may raise anything
            raise UserError(f'the graph cannot be quantized: {one_line(error):.300}') from error
        quantized = onnx.load(target)
    del quantized.metadata_props[:]
    quantized.metadata_props.extend(model.metadata_props)
    return quantized.SerializeToString()


def last_layers(model: Any) -> list[str]:
    """Find the layers whose results become scores and boxes, and go into no other layer.

    Args:
        model (onnx.ModelProto): The graph.

    Returns:
        list[str]: The names of their nodes.
    """
    users: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            # The regions of RoIAlign are boxes already; its first input is a feature map.
            if node.op_type != 'RoiAlign' or place == 0:
                users.setdefault(name, []).append(node)
    layers = [node for node in model.graph.node if node.op_type in QUANTIZED]
    return [node.name for node in layers if not _leads_to_a_layer(node, users)]


def _leads_to_a_layer(node: Any, users: dict[str, list[Any]]) -> bool:
    """Whether the results of a node reach another layer before any detections are chosen."""
    waiting, seen = list(node.output), set(node.output)
    while waiting:
        for user in users.get(waiting.pop(), []):
            if user.op_type in QUANTIZED:
                return True
            if user.op_type not in ENDS:
                waiting += [name for name in user.output if name not in seen]
                seen.update(user.output)
    return False
