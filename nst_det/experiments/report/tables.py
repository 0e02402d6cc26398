"""The tables of the report: values by class and by metric, and gains over the baselines."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence

from nst_det.evaluation import CocoAP, Metric, Results
from nst_det.evaluation.functional.coco_ap import PARTS
from nst_det.evaluation.functional.detection_quality import ClassQuality
from nst_det.experiments.run_folder import DISTILLED, TEACHER, Run, baseline_of

# The mean AP that is computed from the predictions, if the tests report no other AP by class.
COMPUTED = Metric('', 'mAP', '0.50', is_mean=True)


def metric_properties(metric: Metric | None) -> dict:
    """The properties of a metric that the page needs.

    Args:
        metric (Metric or None): The metric; None if there is no result.

    Returns:
        dict: ``title``, ``name``, ``unit``, ``percent`` and ``higher_is_better``.
    """
    metric = metric or Metric('', 'no result', percent=False)
    return dict(
        title=metric.title,
        name=metric.name,
        unit=metric.unit,
        percent=metric.percent,
        higher_is_better=metric.higher_is_better,
    )


def class_tables(
    runs: Sequence[Run],
    classes: Sequence[str],
    qualities: Mapping[str, list[ClassQuality]],
    measured: Mapping[str, Mapping[str, CocoAP]],
) -> list[dict]:
    """Make a table by class for each metric that has values by class.

    Those that the tests report; if they report none, AP by VOC for a test by VOC. Besides those
    that COCO defines, computed from the predictions, unless the tests report them. The main metric
    of the tests comes first.

    Args:
        runs (Sequence[Run]): The runs.
        classes (Sequence[str]): The classes.
        qualities (Mapping[str, list[ClassQuality]]): The quality of the predictions, by run.
        measured (Mapping[str, Mapping[str, CocoAP]]): COCO's AP of the predictions, by run and
            target.

    Returns:
        list[dict]: The tables, see :func:`_class_table`.
    """
    objects = {quality.name: quality.objects for of_run in qualities.values() for quality in of_run}
    reported = list(dict.fromkeys(metric for run in runs for metric in run.results.by_class))
    if not reported:
        means = [run.results.main for run in runs if run.results.main]
        of_voc = [metric for metric in means if metric.counts_as_voc]
        reported = of_voc[:1] or ([] if measured else [COMPUTED])
    tables = [_reported_table(metric, runs, classes, qualities, objects) for metric in reported]
    known = {(table['name'], table['iou'], table['of']) for table in tables}
    for metric, target, part in _coco_metrics(measured):
        if (metric.name, metric.iou, metric.objects) in known:
            continue
        values = {run: of_run[target] for run, of_run in measured.items() if target in of_run}
        tables.append(
            _class_table(
                metric,
                runs,
                classes,
                lambda run, name, values=values, part=part: (
                    values[run.name].classes.get(name, {}).get(part) if run.name in values else None
                ),
                lambda run, values=values, part=part: (
                    values[run.name].summary[part] if run.name in values else None
                ),
                objects,
                'computed from the predictions',
            )
        )
    main = next((run.results.main.title for run in runs if run.results.main), '')
    tables.sort(key=lambda table: table['title'] != main)
    return [table for table in tables if table['rows']]


def computed_note(metric: dict, runs: Sequence[Run]) -> str:
    """Write the note that AP by class is not from the tests.

    Args:
        metric (dict): The first table by class.
        runs (Sequence[Run]): The runs.

    Returns:
        str: The note.
    """
    note = (
        f'The tests report no AP by class: it is computed from the predictions, as '
        f'{metric["title"]}.'
    )
    titles = dict.fromkeys(run.results.main.title for run in runs if run.results.main)
    if list(titles) == [metric['title']]:
        return note
    return f'{note} So is its mean, which differs from the {", ".join(titles)} of the tests.'


def size_table(runs: Sequence[Run], measured: Mapping[str, Mapping[str, CocoAP]]) -> dict:
    """Make the table of AP by IoU and size of the objects, without what the tests report.

    Args:
        runs (Sequence[Run]): The runs.
        measured (Mapping[str, Mapping[str, CocoAP]]): COCO's AP of the predictions, by run and
            target.

    Returns:
        dict: ``columns``, ``differences`` and ``rows``.
    """
    reported = {
        (metric.name, metric.iou, metric.objects) for run in runs for metric in run.results.metrics
    }
    return dict(
        columns=[run.name for run in runs],
        differences=_differences(runs),
        rows=[
            _row(
                metric.title,
                metric,
                runs,
                lambda run, target=target, part=part: (
                    measured[run.name][target].summary[part]
                    if target in measured.get(run.name, {})
                    else None
                ),
            )
            for metric, target, part in _coco_metrics(measured)
            if (metric.name, metric.iou, metric.objects) not in reported
        ],
    )


def _coco_metrics(
    measured: Mapping[str, Mapping[str, CocoAP]],
) -> list[tuple[Metric, str, str]]:
    """The metrics of COCO that were computed, each with its target and its part."""
    found = Results({f'{target}_{part}': 0.0 for target in _targets(measured) for part in PARTS})
    return [(metric, *metric.key.split('_', 1)) for metric in found.metrics]


def _targets(measured: Mapping[str, Mapping[str, CocoAP]]) -> list[str]:
    return list(dict.fromkeys(target for of_run in measured.values() for target in of_run))


def _reported_table(
    metric: Metric,
    runs: Sequence[Run],
    classes: Sequence[str],
    qualities: Mapping[str, list[ClassQuality]],
    objects: Mapping[str, int],
) -> dict:
    """The values of the tests; AP by VOC that a test lacks is computed from the predictions."""
    computed = {
        run: {quality.name: quality.ap for quality in of_run}
        for run, of_run in qualities.items()
        if metric.counts_as_voc
    }
    reported = [name for run in runs for name in run.results.by_class.get(metric, {})]

    def ap(run: Run, name: str) -> float | None:
        own = run.results.by_class.get(metric, {})
        return own.get(name, computed.get(run.name, {}).get(name))

    def mean(run: Run) -> float | None:
        if metric is not COMPUTED:
            return run.results.value(metric)
        aps = [ap for ap in computed.get(run.name, {}).values() if not math.isnan(ap)]
        return statistics.mean(aps) if aps else None

    names = list(dict.fromkeys([*classes, *reported])) if reported or computed else []
    source = 'reported by the tests' if reported else 'computed from the predictions'
    return _class_table(metric, runs, names, ap, mean, objects, source)


def _class_table(
    metric: Metric,
    runs: Sequence[Run],
    classes: Sequence[str],
    value: Callable[[Run, str], float | None],
    mean: Callable[[Run], float | None],
    objects: Mapping[str, int],
    source: str,
) -> dict:
    """A table by class, with the mean and the gain of each distilled run.

    Returns:
        dict: The properties of the metric, ``iou``, ``of`` (which objects count), ``source``,
        ``columns``, ``differences``, ``rows`` and ``mean``.
    """
    return dict(
        **metric_properties(metric),
        iou=metric.iou,
        of=metric.objects,
        source=source,
        columns=[run.name for run in runs],
        differences=_differences(runs),
        rows=[
            _row(name, metric, runs, lambda run, name=name: value(run, name), objects.get(name))
            for name in classes
        ],
        mean=_row(f'mean ({metric.name})', metric, runs, mean),
    )


def metrics_table(runs: Sequence[Run]) -> dict:
    """Make the table of all metrics over all classes.

    Args:
        runs (Sequence[Run]): The runs.

    Returns:
        dict: ``columns``, ``differences`` and ``rows``; no row if there is the main metric only.
    """
    metrics = dict.fromkeys(metric for run in runs for metric in run.results.metrics)
    return dict(
        columns=[run.name for run in runs],
        differences=_differences(runs),
        rows=[
            _row(metric.title, metric, runs, lambda run, metric=metric: run.results.value(metric))
            for metric in metrics
            if len(metrics) > 1
        ],
    )


def gains_over_baselines(runs: Sequence[Run], notes: list[str]) -> list[dict]:
    """Compute the gain of each distilled run over its baseline.

    Args:
        runs (Sequence[Run]): The runs.
        notes (list[str]): The notes, to which runs that cannot be compared are added.

    Returns:
        list[dict]: ``run``, ``baseline``, ``gain``, ``percent``, ``name`` of the metric, and
        ``closed``: the gain divided by the lead of the teacher over the baseline, or None.
    """
    teacher = next((run for run in runs if run.role == TEACHER and run.results.main), None)
    gains = []
    for run, baseline in _pairs(runs):
        metric = run.results.main
        if metric is None or baseline.results.main is None:
            continue
        score, base = run.results.values[metric.key], baseline.results.value(metric)
        if base is None:
            notes.append(
                f'{run.name} and {baseline.name} were tested by different metrics, so that there '
                'is no gain.'
            )
            continue
        best = teacher.results.value(metric) if teacher else None
        lead = 0 if best is None else best - base
        leads = lead > 0 if metric.higher_is_better else lead < 0
        gain = score - base
        gains.append(
            dict(
                run=run.name,
                baseline=baseline.name,
                gain=gain,
                percent=metric.percent,
                name=metric.name,
                closed=gain / lead if leads else None,
            )
        )
    return gains


def mean_gain(gains: Sequence[dict]) -> dict | None:
    """Compute mean and sample standard deviation of several gains of the same metric.

    Args:
        gains (Sequence[dict]): The gains, see :func:`gains_over_baselines`.

    Returns:
        dict, optional: ``mean``, ``std``, ``count``, and ``name`` and ``percent`` of the metric;
        None if there are fewer than two.
    """
    values = [gain['gain'] for gain in gains]
    if len(values) < 2 or len({(gain['name'], gain['percent']) for gain in gains}) > 1:
        return None
    return dict(
        mean=statistics.mean(values),
        std=statistics.stdev(values),
        count=len(values),
        name=gains[0]['name'],
        percent=gains[0]['percent'],
    )


def _pairs(runs: Sequence[Run]) -> list[tuple[Run, Run]]:
    """Each distilled run with its baseline."""
    pairs = [(run, baseline_of(run, runs)) for run in runs if run.role == DISTILLED]
    return [(run, baseline) for run, baseline in pairs if baseline is not None]


def _differences(runs: Sequence[Run]) -> list[str]:
    return [f'{run.name} − {baseline.name}' for run, baseline in _pairs(runs)]


def _row(
    name: str,
    metric: Metric,
    runs: Sequence[Run],
    value: Callable[[Run], float | None],
    objects: int | None = None,
) -> dict:
    """A row of a table: a value of each run, and the gain of each distilled run."""
    values = {run.name: value(run) for run in runs}
    pairs = [(values[run.name], values[baseline.name]) for run, baseline in _pairs(runs)]
    return dict(
        name=name,
        objects=objects,
        percent=metric.percent,
        higher_is_better=metric.higher_is_better,
        values=list(values.values()),
        gains=[None if None in pair else pair[0] - pair[1] for pair in pairs],
    )
