"""The curves of the training logs, with one curve per run in each chart."""

import math
from collections.abc import Callable, Sequence

from nst_det.evaluation import Results
from nst_det.experiments.run_folder import Run
from nst_det.models.losses import TransferLoss, loss_classes

NOT_A_TERM = ('epoch', 'iter', 'step')
MAX_RATIO = 10  # an axis is logarithmic if the largest value exceeds the smallest by this factor


def training_charts(runs: Sequence[Run]) -> list[dict]:
    """Make the charts of the report, without those that no run has values for.

    Args:
        runs (Sequence[Run]): The runs.

    Returns:
        list[dict]: ``title``, ``unit``, ``note`` (what the chart shows and what follows from it),
        ``log`` (whether the axis of the values is logarithmic), ``axis`` (``'iteration'`` or
        ``'epoch'``) and ``series``: of each curve the ``name``, the ``run`` and the points ``x``
        and ``y``.
    """
    charts = [
        _step_chart(
            'Training loss',
            'loss, all terms',
            runs,
            'loss',
            'The sum of all terms. A distilled run also has the terms of its transfers, so that '
            'its loss is higher without being worse.',
        ),
        *_measure_charts(runs),
        _step_chart(
            'Gradient ratio: transfer over detection',
            'ratio',
            runs,
            'grad_ratio_*',
            'The gradient of a transfer divided by that of the detection losses, at the feature '
            'map of the student. At 1 both are equally strong, at 0.01 the transfer has hardly '
            'any effect. Far above 1 the student copies rather than detects.',
        ),
        *_validation_charts(runs),
        _step_chart(
            'Learning rate',
            'learning rate',
            runs,
            'lr',
            'The learning rate of the schedule. The curves of equal schedules cover one another.',
        ),
        _step_chart(
            'Throughput',
            'images per second',
            runs,
            'time',
            'In training. A distilled run is slower, because its teacher sees every image too.',
            _throughput,
        ),
        _step_chart(
            'GPU memory',
            'MB',
            runs,
            'memory',
            'The largest amount of memory that tensors have taken on one GPU so far.',
        ),
    ]
    return [chart for chart in charts if chart['series']]


def term_charts(runs: Sequence[Run]) -> list[dict]:
    """Make a chart for each value in the logs of the trainings.

    Args:
        runs (Sequence[Run]): The runs.

    Returns:
        list[dict]: The charts, see :func:`training_charts`.
    """
    logged = dict.fromkeys(key for run in runs for entry in run.steps for key in entry)
    names = [name for name in logged if name not in NOT_A_TERM]
    ordered = sorted(names, key=lambda name: 'loss' not in name)
    charts = [_step_chart(name, name, runs, name) for name in ordered]
    return [chart for chart in charts if chart['series']]


def mean_throughput(run: Run) -> float | None:
    """The throughput of a training, as the median over its log.

    Args:
        run (Run): The run.

    Returns:
        float, optional: Images per second; None if it was not logged.
    """
    times = [entry['time'] for entry in run.steps if entry.get('time', 0) > 0]
    rates = sorted(_throughput(run, seconds) for seconds in times)
    return rates[len(rates) // 2] if rates and run.batch_size else None


def most_memory(run: Run) -> float | None:
    """The largest amount of GPU memory that a training logged.

    Args:
        run (Run): The run.

    Returns:
        float, optional: The memory in MB; None without a GPU.
    """
    return max((entry['memory'] for entry in run.scalars if 'memory' in entry), default=None)


def _measure_charts(runs: Sequence[Run]) -> list[dict]:
    """A chart for what each class of losses measures, those of the user included."""
    losses: dict[str, type[TransferLoss]] = {}
    for loss in loss_classes():
        losses.setdefault(getattr(loss, 'measure', ''), loss)
    losses.pop('', None)
    return [
        _step_chart(loss.title, loss.unit, runs, f'{measure}_*', loss.meaning)
        for measure, loss in losses.items()
    ]


def _validation_charts(runs: Sequence[Run]) -> list[dict]:
    """A chart for each main metric of the validations, by epoch or by iteration."""
    charts: dict[tuple[str, str], dict] = {}
    for run in runs:
        axis = run.validation_step
        for entry in run.validations:
            results = Results(entry, run.cfg.get('val_evaluator'))
            means = [metric for metric in results.metrics if metric.is_mean]
            for metric in means or results.metrics[:1]:
                unit = f'{metric.name}, {metric.unit}' if metric.unit else metric.name
                better = 'Higher' if metric.higher_is_better else 'Lower'
                note = f'On the validation images during the training. {better} is better.'
                new = _chart(f'{metric.title} in validation', unit, note, axis)
                chart = charts.setdefault((metric.title, axis), new)
                value = metric.scaled(results.values[metric.key])
                _add_point(chart, run.name, run, entry['step'], value)
    return [_with_scale(chart) for chart in charts.values()]


def _step_chart(
    title: str,
    unit: str,
    runs: Sequence[Run],
    pattern: str,
    note: str = '',
    convert: Callable[[Run, float], float] = lambda run, value: value,
) -> dict:
    """A chart of a key of the training log, or of all keys of a pattern such as ``'mmd2_*'``."""
    chart = _chart(title, unit, note)
    start, many, _ = pattern.partition('*')
    for run in runs:
        logged = dict.fromkeys(key for entry in run.steps for key in entry)
        keys = [key for key in logged if key == pattern or (many and key.startswith(start))]
        for key in keys:
            name = f'{run.name}: {key.removeprefix(start)}' if len(keys) > 1 else run.name
            for entry in run.steps:
                if key in entry:
                    _add_point(chart, name, run, entry['step'], convert(run, entry[key]))
    return _with_scale(chart)


def _chart(title: str, unit: str, note: str, axis: str = 'iteration') -> dict:
    return dict(title=title, unit=unit, note=note, log=False, axis=axis, series=[])


def _add_point(chart: dict, name: str, run: Run, x: float, y: float) -> None:
    """Append a point to the curve of a name, unless its value is NaN or infinite."""
    if not math.isfinite(y):
        return
    series = next((curve for curve in chart['series'] if curve['name'] == name), None)
    if series is None:
        series = dict(name=name, run=run.name, x=[], y=[])
        chart['series'].append(series)
    series['x'].append(x)
    series['y'].append(y)


def _with_scale(chart: dict) -> dict:
    values = [value for series in chart['series'] for value in series['y']]
    chart['log'] = bool(values) and max(values) > MAX_RATIO * min(values) > 0
    return chart


def _throughput(run: Run, seconds: float) -> float:
    return (run.batch_size or 1) / seconds if seconds > 0 else math.nan
