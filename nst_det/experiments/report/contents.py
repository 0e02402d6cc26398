"""The contents of the report as plain values."""

from collections.abc import Callable, Sequence

from mmdet.registry import DATASETS
from mmengine.registry import init_default_scope

from nst_det.errors import UserError, one_line
from nst_det.evaluation.functional.detection_quality import (
    ClassQuality,
    ground_truth,
    quality_by_class,
)
from nst_det.experiments.protocol import evaluators, is_voc
from nst_det.experiments.report.config_summary import commands, environment, summarize
from nst_det.experiments.report.curves import term_charts, training_charts
from nst_det.experiments.report.gallery import THRESHOLD, build_gallery, choose_runs
from nst_det.experiments.report.pattern_figures import pattern_figures
from nst_det.experiments.report.tables import (
    class_metric,
    class_table,
    computed_note,
    gains_over_baselines,
    mean_gain,
    metric_properties,
    metrics_table,
)
from nst_det.experiments.run_folder import Run
from nst_det.version import __version__


def collect(runs: Sequence[Run], title: str, progress: Callable[[str], None] = print) -> dict:
    """Collect all that the report shows; without the pictures it is the JSON block of the page.

    Args:
        runs (Sequence[Run]): The runs.
        title (str): The heading.
        progress (Callable): Called with a line of text at the beginning of each step. Defaults to
            ``print``.

    Returns:
        dict: Plain values, for the template and the script of the page.
    """
    progress('reading the test set')
    notes: list[str] = []
    truth, classes, eval_mode = _test_set(runs, notes)
    qualities = _qualities(runs, truth, classes, eval_mode)
    progress('comparing the detections image by image')
    shown = choose_runs(runs)
    gallery = []
    try:
        gallery = build_gallery(truth, shown, classes) if truth and shown else []
    except OSError as error:
        notes.append(f'There are no detections, because an image cannot be read: {error}')
    metric = class_metric(runs)
    if qualities and not any(run.results.classes for run in runs):
        notes.append(computed_note(metric, runs))
    figures = pattern_figures(runs, gallery, truth, notes, progress)
    gains = gains_over_baselines(runs, notes)
    return dict(
        title=title,
        version=__version__,
        runs=[_run(run) for run in runs],
        notes=notes,
        gains=gains,
        mean_gain=mean_gain(gains),
        table=class_table(metric, runs, classes, qualities),
        metrics=metrics_table(runs),
        curves=_precision_curves(classes, qualities),
        charts=training_charts(runs),
        terms=term_charts(runs),
        threshold=THRESHOLD,
        gallery=gallery,
        figures=figures,
        environments=_environments(runs),
        commands=commands(runs),
    )


def _run(run: Run) -> dict:
    """The values of a card and of the config of a run."""
    return dict(
        name=run.name,
        role=run.role,
        folder=str(run.folder),
        metrics=run.metrics,
        metrics_file=None if run.metrics_file is None else str(run.metrics_file),
        score=run.results.score,
        metric=metric_properties(run.results.main),
        summary=summarize(run),
        config=run.config_file.read_text(encoding='utf-8', errors='replace'),
        missing=run.missing,
    )


def _test_set(runs: Sequence[Run], notes: list[str]) -> tuple[dict, list[str], str]:
    """The annotations, the classes and the protocol of the first test set that can be read."""
    for run in runs:
        loader = run.cfg.get('test_dataloader')
        if not loader or not run.predictions:
            continue
        init_default_scope(run.cfg.get('default_scope') or 'mmdet')
        try:
            dataset = DATASETS.build({**loader.dataset, 'pipeline': []})
            truth = ground_truth(dataset)
        except Exception as error:  # a data set that was moved can raise anything
            notes.append(
                f'The test set cannot be read ({one_line(error, with_type=False)}), so there are '
                'no precision–recall curves and no detections. Run tools/report.py from the folder '
                'that the training ran in.'
            )
            continue
        notes.clear()
        return truth, list(dataset.metainfo['classes']), _eval_mode(run)
    return {}, [], 'area'


def _eval_mode(run: Run) -> str:
    """How the test of a run takes AP: by 11 points or the area under the curve."""
    evaluator = next(iter(evaluators(run.cfg)), {})
    return evaluator.get('eval_mode', '11points') if is_voc(evaluator) else 'area'


def _qualities(
    runs: Sequence[Run], truth: dict, classes: Sequence[str], eval_mode: str
) -> dict[str, list[ClassQuality]]:
    """The quality by class of the predictions of each run."""
    qualities = {}
    for run in runs if truth else ():
        if not run.predictions:
            continue
        try:
            qualities[run.name] = quality_by_class(truth, run.predictions, classes, eval_mode)
        except UserError as error:
            run.missing.append(str(error))
            run.predictions = {}
    return qualities


def _precision_curves(
    classes: Sequence[str], qualities: dict[str, list[ClassQuality]]
) -> list[dict]:
    """The precision–recall curves of each class, one per run."""
    if not qualities:
        return []
    return [
        {
            'class': name,
            'series': [
                dict(
                    run=run,
                    recall=quality[i].recall,
                    precision=quality[i].precision,
                    ap=quality[i].ap,
                )
                for run, quality in qualities.items()
            ],
        }
        for i, name in enumerate(classes)
    ]


def _environments(runs: Sequence[Run]) -> list[dict]:
    """The environments of the trainings, each with the names of its runs."""
    groups: list[dict] = []
    for run in runs:
        versions = environment(run)
        same = next((group for group in groups if group['versions'] == versions), None)
        if same:
            same['runs'].append(run.name)
        elif versions:
            groups.append(dict(runs=[run.name], versions=versions))
    return groups
