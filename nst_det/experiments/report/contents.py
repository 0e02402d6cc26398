"""The contents of the report as plain values."""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from mmdet.datasets import BaseDetDataset
from mmengine.registry import init_default_scope

from nst_det.datasets.without_pipeline import build_without_pipeline
from nst_det.errors import UserError, one_line
from nst_det.evaluation import CocoAP, coco_ap
from nst_det.evaluation.functional.coco_ap import FASTER, PYCOCOTOOLS
from nst_det.evaluation.functional.coco_results import coco_results
from nst_det.evaluation.functional.coco_truth import coco_truth
from nst_det.evaluation.functional.confusion import calibration, confusion_matrix
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
    class_tables,
    computed_note,
    gains_over_baselines,
    mean_gain,
    metric_properties,
    metrics_table,
    size_table,
)
from nst_det.experiments.report.thumbnails import Thumbnails
from nst_det.experiments.run_folder import Run
from nst_det.version import __version__

MOST_CLASSES = 200  # of a confusion matrix, which nobody could read


def collect(
    runs: Sequence[Run],
    title: str,
    progress: Callable[[str], None] = print,
    pictures: Path = Path('report_files'),
) -> dict:
    """Collect all that the report shows; without the pictures it is the JSON block of the page.

    Args:
        runs (Sequence[Run]): The runs.
        title (str): The heading.
        progress (Callable): Called with a line of text at the beginning of each step. Defaults to
            ``print``.
        pictures (Path): The folder for the pictures of the test images, if there are many. Defaults
            to ``report_files``.

    Returns:
        dict: Plain values, for the template and the script of the page.

    Raises:
        UserError: If the folder of the pictures holds other files.
    """
    progress('reading the test set')
    notes: list[str] = []
    dataset, eval_mode = _test_set(runs, notes)
    truth = {} if dataset is None else ground_truth(dataset)
    classes = [] if dataset is None else list(dataset.metainfo['classes'])
    progress('computing precision and recall')
    qualities = _qualities(runs, truth, classes, eval_mode)
    measured = {} if dataset is None else _measure_by_coco(runs, dataset, classes, notes, progress)
    progress('comparing the detections image by image')
    shown = choose_runs(runs)
    gallery = None
    try:
        if truth and shown:
            gallery = build_gallery(truth, shown, classes, Thumbnails(pictures))
    except OSError as error:
        notes.append(f'There are no detections, because an image cannot be read: {error}')
    tables = class_tables(runs, classes, qualities, measured)
    if qualities and tables and not any(run.results.classes for run in runs):
        notes.append(computed_note(tables[0], runs))
    first = gallery['images'][0]['id'] if gallery else next(iter(truth), None)
    figures = pattern_figures(runs, first, truth, notes, progress)
    gains = gains_over_baselines(runs, notes)
    return dict(
        title=title,
        version=__version__,
        runs=[_run(run) for run in runs],
        notes=notes,
        gains=gains,
        mean_gain=mean_gain(gains),
        tables=tables,
        metrics=metrics_table(runs),
        sizes=size_table(runs, measured),
        curves=_precision_curves(classes, qualities),
        confusion=_confusion(runs, truth, classes, notes),
        calibration=_calibration(runs, truth),
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
        means=_other_means(run),
        summary=summarize(run),
        config=run.config_file.read_text(encoding='utf-8', errors='replace'),
        missing=run.missing,
    )


def _other_means(run: Run) -> list[dict]:
    """The mean AP beside the main metric, such as that of masks beside boxes."""
    results = run.results
    return [
        dict(metric_properties(metric), value=results.value(metric))
        for metric in results.metrics
        if metric.is_mean and not metric.objects and metric != results.main
    ]


def _test_set(runs: Sequence[Run], notes: list[str]) -> tuple[BaseDetDataset | None, str]:
    """The first test set that can be read, and how its test takes AP."""
    for run in runs:
        loader = run.cfg.get('test_dataloader')
        if not loader or not run.predictions:
            continue
        init_default_scope(run.cfg.get('default_scope') or 'mmdet')
        try:
            dataset = build_without_pipeline(loader.dataset)
        except Exception as error:  # a data set that was moved can raise anything
            notes.append(
                f'The test set cannot be read ({one_line(error, with_type=False)}), so there are '
                'no precision–recall curves and no detections. Run tools/report.py from the folder '
                'that the training ran in.'
            )
            continue
        notes.clear()
        return dataset, _eval_mode(run)
    return None, 'area'


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


def _measure_by_coco(
    runs: Sequence[Run],
    dataset: BaseDetDataset,
    classes: Sequence[str],
    notes: list[str],
    progress: Callable[[str], None],
) -> dict[str, dict[str, CocoAP]]:
    """COCO's AP of the predictions, by run and target."""
    backend = FASTER if find_spec(FASTER) else PYCOCOTOOLS
    measured: dict[str, dict[str, CocoAP]] = {}
    try:
        truth = coco_truth(dataset)
        has_masks = any('segmentation' in obj for obj in truth.content['annotations'])
        for run in runs:
            if not run.predictions:
                continue
            progress(f'computing AP by class and size of the objects ({run.name})')
            targets = ['bbox']
            if has_masks and all('masks' in found for found in run.predictions.values()):
                targets.append('segm')
            for target in targets:
                detections = [
                    result
                    for image, image_id in truth.image_ids.items()
                    for result in coco_results(
                        image_id, run.predictions[image], truth.category_ids, target
                    )
                ]
                measured.setdefault(run.name, {})[target] = coco_ap(
                    truth.content, detections, target, classes, backend=backend
                )
    except Exception as error:  # annotations of others may lack anything that COCO needs
        notes.append(f"There is no AP by COCO's definition: {one_line(error)}")
        return {}
    return measured


def _confusion(runs: Sequence[Run], truth: dict, classes: Sequence[str], notes: list[str]) -> dict:
    """The confusion matrix of each run with predictions."""
    if len(classes) > MOST_CLASSES:
        notes.append(f'There is no confusion matrix of {len(classes)} classes.')
    return dict(
        classes=list(classes),
        matrices={
            run.name: confusion_matrix(truth, run.predictions, len(classes), THRESHOLD).tolist()
            for run in (runs if truth and len(classes) <= MOST_CLASSES else ())
            if run.predictions
        },
    )


def _calibration(runs: Sequence[Run], truth: dict) -> list[dict]:
    """The precision by score of each run with predictions."""
    return [
        dict(run=run.name, **vars(calibration(truth, run.predictions)))
        for run in (runs if truth else ())
        if run.predictions
    ]


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
