"""The curves of a training's log, run beside run."""

import math
from collections.abc import Callable, Sequence

from nst_det.experiments.run_folder import Run

NOT_A_TERM = ('epoch', 'iter', 'step')
# What a distiller's losses measure, without their weights: see Transfer.log_key.
MEASURES = (
    ('mmd2_', 'MMD² to the teacher (NST)', 'MMD²', 'selectivity patterns are from the teacher’s'),
    (
        'distance_',
        'Attention distance to the teacher (AT)',
        'distance',
        'attention maps are from the teacher’s',
    ),
    (
        'mse_',
        'Hint error to the teacher (FitNet)',
        'mean squared error',
        'map, through the regressor, is from the teacher’s',
    ),
    (
        'kl_',
        'Divergence from the teacher (KD)',
        'KL divergence',
        'class scores are from the teacher’s',
    ),
)
SPAN = 10  # values further apart than this, as a factor, get a logarithmic axis


def training_charts(runs: Sequence[Run]) -> list[dict]:
    """The charts of the report, without those that no run has numbers for.

    Args:
        runs (Sequence[Run]): The runs.

    Returns:
        list[dict]: ``title``, ``unit``, ``note`` (what it shows and what to conclude), ``log``
        (whether its axis is logarithmic) and ``series``: of each curve the ``name``, the ``run``
        and the points ``x`` (iterations) and ``y``.
    """
    charts = [
        _chart(
            'Training loss',
            'loss, all terms',
            runs,
            lambda key: key == 'loss',
            'All terms summed up. A distilled run has those of its transfers besides: a higher '
            'loss that is no worse.',
        ),
        *(
            _chart(
                title,
                unit,
                runs,
                lambda key, start=start: key.startswith(start),
                f'How far the student’s {what}: the lower, the more it has learned from it.',
            )
            for start, title, unit, what in MEASURES
        ),
        _chart(
            'Gradient ratio: transfer over detection',
            'ratio',
            runs,
            lambda key: key.startswith('grad_ratio_'),
            'How hard the transfer pulls at the student’s map against the detection losses: at 1 '
            'as hard, at 0.01 hardly. Far above 1 the student copies rather than detects.',
        ),
        _chart(
            'mAP in validation',
            'mAP',
            runs,
            lambda key: key.endswith('mAP'),
            'On the validation images, as the training went. Higher is better.',
        ),
        _chart(
            'Learning rate',
            'learning rate',
            runs,
            lambda key: key == 'lr',
            'What the schedule made of it: of equal ones the curves lie over one another.',
        ),
        _chart(
            'Throughput',
            'images per second',
            runs,
            lambda key: key == 'time',
            'Of the training. A distilled run’s teacher sees every image too, which takes time.',
            _throughput,
        ),
        _chart(
            'GPU memory',
            'MB',
            runs,
            lambda key: key == 'memory',
            'The most that tensors have taken on one GPU so far.',
        ),
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
    charts = [_chart(name, name, runs, lambda key, name=name: key == name) for name in ordered]
    return [chart for chart in charts if chart['series']]


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
    note: str = '',
    convert: Callable[[Run, float], float] = lambda run, value: value,
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
            if points:
                x, y = zip(*points)
                series.append(dict(name=name, run=run.name, x=list(x), y=list(y)))
    values = [value for one in series for value in one['y']]
    log = bool(values) and max(values) > SPAN * min(values) > 0
    return dict(title=title, unit=unit, note=note, log=log, series=series)


def _is_step(entry: dict, key: str) -> bool:
    return 'loss' in entry and entry.get(key, 0) > 0


def _throughput(run: Run, seconds: float) -> float:
    return (run.batch_size or 1) / seconds if seconds > 0 else math.nan
