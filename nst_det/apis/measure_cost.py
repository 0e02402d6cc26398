"""The cost of running detectors: parameters, operations, time."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from terminaltables import AsciiTable
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from nst_det.models.distillers.taps.dummy_batch import dummy_batch, padded_shape

WARM_UP = 2


@dataclass(frozen=True)
class DetectorCost:
    """The cost of a prediction on one image.

    Args:
        parameters (int): The number of parameters.
        flops (int): Floating-point operations of a prediction, two per multiply-add, of its
            convolutions and matrix products.
        latency (float): The median time of a prediction in seconds, NMS included.
        quartiles (tuple[float, float]): The times that a quarter and three quarters of the
            predictions did not exceed, in seconds.
        batch_input_shape (tuple[int, int]): H and W of the image in pixels, padding included.
    """

    parameters: int
    flops: int
    latency: float
    quartiles: tuple[float, float]
    batch_input_shape: tuple[int, int]


@torch.no_grad()
def measure_costs(
    detectors: dict[str, nn.Module], shape: Sequence[int], repeats: int = 10
) -> dict[str, DetectorCost]:
    """Measure detectors on an image of random pixels, on the device that they are on.

    The detectors are timed in turns, so that other work of the machine slows down all of them.

    Args:
        detectors (dict[str, nn.Module]): The detectors by name, in evaluation mode.
        shape (Sequence[int]): H and W of the image in pixels.
        repeats (int): The number of timed predictions of each detector. Defaults to 10.

    Returns:
        dict[str, DetectorCost]: The costs by name.
    """
    size = padded_shape(shape, *detectors.values())
    batches = {name: dummy_batch(detector, size) for name, detector in detectors.items()}
    times: dict[str, list[float]] = {name: [] for name in detectors}
    for _ in tqdm(range(WARM_UP + repeats), 'predictions', leave=False):
        for name, detector in detectors.items():
            times[name].append(_seconds(detector, batches[name]))
    costs = {}
    for name, detector in detectors.items():
        counter = FlopCounterMode(display=False)
        with counter:
            detector(**batches[name], mode='predict')
        lower, median, upper = np.quantile(times[name][WARM_UP:], [0.25, 0.5, 0.75]).tolist()
        costs[name] = DetectorCost(
            sum(parameter.numel() for parameter in detector.parameters()),
            counter.get_total_flops(),
            median,
            (lower, upper),
            size,
        )
    return costs


def cost_table(costs: dict[str, DetectorCost]) -> str:
    """Make a table of the costs of detectors, with their ratios to the first one.

    The latency is a median, followed by its quartiles: half of the predictions took a time between
    them.

    Args:
        costs (dict[str, DetectorCost]): The costs by name, the student first.

    Returns:
        str: The lines of a table.
    """
    first = next(iter(costs.values()))
    rows = [['', 'parameters, M', 'GFLOPs', 'latency, ms', 'quartiles, ms']]
    for name, cost in costs.items():
        cells = [name]
        for value, base, unit in [
            (cost.parameters, first.parameters, 1e6),
            (cost.flops, first.flops, 1e9),
            (cost.latency, first.latency, 1e-3),
        ]:
            ratio = '' if cost is first else f' ({value / base:.2f} ×)'
            cells.append(f'{value / unit:.3g}{ratio}')
        lower, upper = (f'{seconds * 1e3:.3g}' for seconds in cost.quartiles)
        rows.append([*cells, f'{lower} to {upper}'])
    table = AsciiTable(rows)
    table.justify_columns = dict.fromkeys(range(1, 5), 'right')
    return table.table


def _seconds(detector: nn.Module, batch: dict) -> float:
    on_gpu = batch['inputs'].is_cuda
    if on_gpu:
        torch.cuda.synchronize()
    started = time.perf_counter()
    detector(**batch, mode='predict')
    if on_gpu:
        torch.cuda.synchronize()
    return time.perf_counter() - started
