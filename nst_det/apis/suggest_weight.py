"""Choosing λ: measure the gradient of each transfer, and suggest the weight for a target ratio."""

import math
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.runner import Runner
from mmengine.utils.dl_utils import set_multi_processing
from terminaltables import AsciiTable

from nst_det.apis.build import build_distiller, start_weights
from nst_det.errors import UserError
from nst_det.models.distillers import NSTDistiller
from nst_det.models.distillers.auto_weights import AutoWeights


@dataclass
class Measurement:
    """The measurement of one transfer, with one value for each iteration.

    Args:
        layer (str): The student's layer.
        weight (float, optional): λ in the config; None if that says ``'auto'``.
        distances (list[float]): The value of the loss without its weight. For NST it is MMD², the
            mean over the images of the batch.
        ratios (list[float]): The norm of the transfer's gradient at λ = 1, divided by the norm of
            the gradient of the detection losses, both at the student's feature map. It is
            proportional to λ.
        unit (str): The name of the distance. Defaults to ``'distance'``.
    """

    layer: str
    weight: float | None
    distances: list[float]
    ratios: list[float]
    unit: str = 'distance'

    @property
    def starved(self) -> bool:
        """bool: Whether (almost) no gradient of the detection losses reaches the layer."""
        return statistics.median(self.ratios) == math.inf

    def suggested_weight(self, target: float) -> float:
        """Compute the λ at which the median ratio is the target.

        Args:
            target (float): The wanted ratio.

        Returns:
            float: λ, rounded to two digits.

        Raises:
            UserError: If one of the two gradients is zero, so that no λ gives the target.
        """
        ratio = statistics.median(self.ratios)
        if ratio == 0:
            raise UserError(
                f"the transfer at '{self.layer}' has no gradient (its distance is "
                f'{statistics.median(self.distances):.3g}): the student has nothing to learn from '
                'this teacher there, choose another layer'
            )
        if not 0 < ratio < math.inf:
            raise UserError(
                f"(almost) no gradient of the detection losses could be measured at '{self.layer}'"
                ', so no weight can be computed for it: on these images the heads find nothing '
                'there. Choose a layer that they depend on'
            )
        return float(f'{target / ratio:.2g}')

    def fault(self) -> str | None:
        """Tell why there is no weight to suggest.

        Returns:
            str, optional: The reason; None if there is a weight.
        """
        try:
            self.suggested_weight(1.0)
        except UserError as error:
            return str(error)
        return None


def measure(
    cfg: Config, iterations: int, report: Callable[[int, list[Measurement]], None]
) -> list[Measurement]:
    """Run the first training iterations of a distiller without an optimizer, and measure.

    The student has the weights with which training begins. No weight is updated, and nothing is
    written to disk.

    Args:
        cfg (Config): The complete config, with an ``NSTDistiller`` as model.
        iterations (int): The number of batches.
        report (Callable): Is called after each iteration with its number, counted from 1, and the
            measurements so far.

    Returns:
        list[Measurement]: One per transfer.

    Raises:
        UserError: If the model is no distiller or has no transfer, or there is no training data.
    """
    purpose = 'there is no weight to suggest without a teacher'
    distiller = build_distiller(cfg, purpose, monitor_interval=1)
    if not distiller.transfers:
        raise UserError('the distiller has no transfers, so no weight can be measured: give it one')
    if not cfg.get('train_dataloader'):
        raise UserError('the config has no train_dataloader, so there is no batch to measure on')
    measurements = [
        Measurement(
            layer=transfer.layer,
            weight=None if transfer.loss.auto_weight else transfer.loss.loss_weight,
            distances=[],
            ratios=[],
            unit=transfer.loss.unit,
        )
        for transfer in distiller.transfers
    ]
    for transfer in distiller.transfers:
        transfer.loss.loss_weight, transfer.loss.auto_weight = 1.0, None
    distiller.auto_weights = AutoWeights(distiller.transfers)
    distiller.starved = {transfer.name for transfer in distiller.transfers}  # told once, at the end
    seed = cfg.get('randomness', {}).get('seed') or 0
    set_multi_processing(**(cfg.get('env_cfg') or {}).get('mp_cfg', {}))  # as a Runner does
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=seed)  # before any download
    if not len(loader):
        raise UserError('the training data makes no batch: check its annotations and filters')
    start_weights(distiller, cfg)
    distiller.to(get_device()).train()
    for done, losses in enumerate(_losses(distiller, loader, iterations), 1):
        for measurement, transfer in zip(measurements, distiller.transfers):
            measurement.distances.append(losses[transfer.log_key].item())
            measurement.ratios.append(losses[f'grad_ratio_{transfer.log_name}'].item())
        report(done, measurements)
    return measurements


def _losses(
    distiller: NSTDistiller, loader: torch.utils.data.DataLoader, iterations: int
) -> Iterator[dict[str, torch.Tensor]]:
    done = 0
    while done < iterations:
        for data in loader:
            yield distiller(**distiller.data_preprocessor(data, True), mode='loss')
            done += 1
            if done == iterations:
                return


def table(measurements: list[Measurement], target: float) -> str:
    """Make a table of the measurements and the suggested weights.

    Args:
        measurements (list[Measurement]): One per transfer.
        target (float): The wanted ratio.

    Returns:
        str: The lines of a table: medians, with the smallest and largest in brackets.
    """
    units = {measurement.unit for measurement in measurements}
    shared = len(units) == 1
    distance = units.pop() if shared else 'distance'
    rows = [('', distance, 'gradient ratio at λ=1', 'λ now (ratio)', f'λ for {target:g}')]
    for i, measurement in enumerate(measurements):
        spread = _spread(measurement.distances)
        now = 'auto'
        if measurement.weight is not None:
            ratio = statistics.median(measurement.ratios) * measurement.weight
            now = f'{measurement.weight:g} ({ratio:.2g})'
        rows.append(
            (
                f'transfers[{i}] {measurement.layer}',
                spread if shared else f'{measurement.unit} {spread}',
                _spread(measurement.ratios),
                now,
                'none' if measurement.fault() else f'{measurement.suggested_weight(target):g}',
            )
        )
    return AsciiTable(rows).table


def _spread(values: list[float]) -> str:
    return f'{statistics.median(values):.3g} [{min(values):.3g}, {max(values):.3g}]'
