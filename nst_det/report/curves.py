"""The curves of a training's log, run beside run."""

import math
from collections.abc import Callable, Sequence

from nst_det.report.run_folder import Run

NOT_A_TERM = ('epoch', 'iter', 'step')
# What a distiller's losses measure, without their weights: see Transfer.reading.
MEASURES = (
    ('mmd2_', 'MMD² to the teacher (NST)', 'MMD²'),
    ('gap_', 'Attention gap to the teacher (AT)', 'gap'),
    ('mse_', 'Hint error to the teacher (FitNet)', 'mean squared error'),
    ('kl_', 'Divergence from the teacher (KD)', 'KL divergence'),
)


def training_charts(runs: Sequence[Run]) -> list[dict]:
    """The charts of the report, without those that no run has numbers for.

    Args:
        runs (Sequence[Run]): The runs.

    Returns:
        list[dict]: ``title``, ``unit``, ``log`` (whether its axis is logarithmic) and ``series``:
        of each curve the ``name``, the ``run`` and the points ``x`` (iterations) and ``y``.
    """
    charts = [
        _chart('Training loss', 'loss, all terms', runs, lambda key: key == 'loss', log=True),
        *(
            _chart(title, unit, runs, lambda key, start=start: key.startswith(start), log=True)
            for start, title, unit in MEASURES
        ),
        _chart(
            'Gradient ratio: transfer over detection',
            'ratio',
            runs,
            lambda key: key.startswith('grad_ratio_'),
            log=True,
        ),
        _chart('mAP in validation', 'mAP', runs, lambda key: key.endswith('mAP')),
        _chart('Learning rate', 'learning rate', runs, lambda key: key == 'lr'),
        _chart('Throughput', 'images per second', runs, lambda key: key == 'time', _throughput),
        _chart('GPU memory', 'MB', runs, lambda key: key == 'memory'),
    ]
    return [chart for chart in charts if chart['series']]


def term_charts(runs: Sequence[Run]) -> list[dict]:
    """A chart for each number that the log has, for looking things up.

    Args:
        runs (Sequence[Run]): The runs.

    Returns:
        list[dict]: As of :func:`training_charts`.
    """
    names = {
        key: None
        for run in runs
        for entry in run.scalars
        if 'loss' in entry
        for key in entry
        if key not in NOT_A_TERM
    }
    ordered = sorted(names, key=lambda name: 'loss' not in name)
    return [_chart(name, name, runs, lambda key, name=name: key == name) for name in ordered]


def mean_throughput(run: Run) -> float | None:
    """Images per second of a training, the median over its log.

    Args:
        run (Run): The run.

    Returns:
        float, optional: None where nothing was logged.
    """
    rates = sorted(
        _throughput(run, entry['time']) for entry in run.scalars if _is_step(entry, 'time')
    )
    return rates[len(rates) // 2] if rates and run.batch_size else None


def most_memory(run: Run) -> float | None:
    """The most GPU memory that a training logged, in MB; None without a GPU.

    Args:
        run (Run): The run.
    """
    return max((entry['memory'] for entry in run.scalars if 'memory' in entry), default=None)


def _chart(
    title: str,
    unit: str,
    runs: Sequence[Run],
    wanted: Callable[[str], bool],
    convert: Callable[[Run, float], float] = lambda run, value: value,
    log: bool = False,
) -> dict:
    series = []
    for run in runs:
        keys = {key: None for entry in run.scalars for key in entry if wanted(key)}
        for key in keys:
            points = [
                (entry['step'], convert(run, entry[key]))
                for entry in run.scalars
                # A validation logs its own time and no loss.
                if key in entry and ('loss' in entry or key.endswith('mAP'))
                if math.isfinite(entry[key])
            ]
            several = len(keys) > 1
            name = f'{run.name}: {key.split("_", 1)[-1]}' if several else run.name
            x, y = zip(*points) if points else ((), ())
            series.append(dict(name=name, run=run.name, x=list(x), y=list(y)))
    return dict(title=title, unit=unit, log=log, series=series)


def _is_step(entry: dict, key: str) -> bool:
    return 'loss' in entry and entry.get(key, 0) > 0


def _throughput(run: Run, seconds: float) -> float:
    return (run.batch_size or 1) / seconds if seconds > 0 else math.nan
