"""Trying the layers of a new config on its training data."""

from collections.abc import Callable

from mmengine.config import Config

from nst_det.apis.suggest_weight import Measurement, measure, table
from nst_det.errors import last_line


def try_layers(
    cfg: Config, batches: int, target: float, report: Callable[[str], None]
) -> list[str]:
    """Measure the transfers of a distiller on batches of its training data, and report it.

    Args:
        cfg (Config): The complete config, with an ``NSTDistiller`` as model.
        batches (int): The number of batches.
        target (float): The wanted gradient ratio.
        report (Callable): Takes each line for the user.

    Returns:
        list[str]: The student's layers that (almost) no gradient of the detection losses reaches.
        Nothing is known of any if the training data cannot be read: then the reason is reported.
    """

    def show_progress(done: int, measurements: list[Measurement]) -> None:
        report(f'  batch {done} of {batches} of the training data')

    report('Trying the layers on the training data:')
    try:
        measurements = measure(cfg, batches, show_progress)
    except Exception as error:  # a data set, a pipeline or a download may raise anything
        report(f'  not tried: {last_line(error)}')
        return []
    report(table(measurements, target))
    starved = [measurement for measurement in measurements if measurement.starved]
    for measurement in starved:
        report(f'  {measurement.fault()}')
    return [measurement.layer for measurement in starved]
