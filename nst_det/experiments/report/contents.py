"""All that the report shows, as plain values."""

import base64
import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from mmdet.registry import DATASETS
from mmengine.registry import init_default_scope

from nst_det.apis.compare_students import compare_students
from nst_det.errors import UserError
from nst_det.evaluation.functional.detection_quality import (
    ClassQuality,
    ground_truth,
    quality_by_class,
)
from nst_det.experiments.report.config_summary import commands, environment, summarize
from nst_det.experiments.report.curves import term_charts, training_charts
from nst_det.experiments.report.gallery import THRESHOLD, build_gallery, choose_runs
from nst_det.experiments.run_folder import DISTILLED, TEACHER, Run, baseline_of
from nst_det.version import __version__
from nst_det.visualization import LayerView, write_figures

CAPTIONS = {
    'clouds': 'What the channels of {layer} respond to, as a map. Each mark is one channel: blue '
    'dots the teacher’s, orange triangles the student’s. Channels that respond alike lie close '
    'together, and the more the two clouds cover one another, the more alike are the networks: '
    'MMD² is {before:.3g} before and {after:.3g} after, and would be 0 if they were the same.',
    'channels': 'Top row: where the most selective channels of the teacher’s {layer} fire. Below '
    'each, the student’s channel that matches it. Bright at the same places: the student looks at '
    'what its teacher looks at.',
    'grams': 'Gram matrices at {layer}. Above: which positions of the image fire together; the '
    'paler the differences, the closer is the student to its teacher. Below: which channels are '
    'alike.',
}


def collect(runs: Sequence[Run], title: str, say: Callable[[str], None] = print) -> dict:
    """Gather all that the report shows; it is also what its JSON block holds, but the pictures.

    Args:
        runs (Sequence[Run]): The runs.
        title (str): The heading.
        say (Callable): Is told what is going on. Defaults to ``print``.

    Returns:
        dict: Plain values, as the template and the script in the page read them.
    """
    say('reading the test set')
    notes: list[str] = []
    truth, classes, eval_mode = _test_set(runs, notes)
    qualities: dict[str, list[ClassQuality]] = {}
    for run in runs if truth else ():
        if not run.predictions:
            continue
        try:
            qualities[run.name] = quality_by_class(truth, run.predictions, classes, eval_mode)
        except UserError as error:
            run.lacks.append(str(error))
            run.predictions = {}
    say('comparing the detections image by image')
    shown = choose_runs(runs)
    gallery = []
    try:
        gallery = build_gallery(truth, shown, classes) if truth and shown else []
    except OSError as error:
        notes.append(f'The detections cannot be shown, for an image cannot be read: {error}')
    if qualities and not any('AP/' in key for run in runs for key in run.metrics):
        notes.append(
            'The tests give no AP by class: it is computed from the predictions, at IoU 0.5 as VOC '
            'counts. The mean is the mAP of the tests themselves.'
        )
    figures = _figures(runs, gallery, truth, notes, say)
    return dict(
        title=title,
        version=__version__,
        runs=[
            dict(
                name=run.name,
                role=run.role,
                folder=str(run.folder),
                metrics=run.metrics,
                metrics_file=None if run.metrics_file is None else str(run.metrics_file),
                score=run.score,
                summary=summarize(run),
                config=run.config_file.read_text(encoding='utf-8', errors='replace'),
                lacks=run.lacks,
            )
            for run in runs
        ],
        notes=notes,
        gains=_gains(runs),
        mean_gain=_mean_gain(_gains(runs)),
        table=_table(runs, classes, qualities),
        curves=[
            {
                'class': name,
                'series': [
                    dict(run=run, recall=one[i].recall, precision=one[i].precision, ap=one[i].ap)
                    for run, one in qualities.items()
                ],
            }
            for i, name in enumerate(classes)
        ]
        if qualities
        else [],
        charts=training_charts(runs),
        terms=term_charts(runs),
        threshold=THRESHOLD,
        gallery=gallery,
        figures=figures,
        environments=_environments(runs),
        commands=commands(runs),
    )


def _test_set(runs: Sequence[Run], notes: list[str]) -> tuple[dict, list[str], str]:
    """The annotations, classes and protocol of the first run's test set that can be read."""
    for run in runs:
        loader = run.cfg.get('test_dataloader')
        if not loader or not run.predictions:
            continue
        init_default_scope(run.cfg.get('default_scope') or 'mmdet')
        evaluator = run.cfg.get('test_evaluator')
        evaluator = evaluator[0] if isinstance(evaluator, list) else evaluator or {}
        try:
            dataset = DATASETS.build({**loader.dataset, 'pipeline': []})
            truth = ground_truth(dataset)
        except Exception as error:  # whatever a dataset may raise that is not where it was
            reason = ' '.join(str(error).split()) or type(error).__name__
            notes.append(
                f'The test set cannot be read ({reason}), so there are no precision–recall curves '
                'and no detections. Run tools/report.py from the folder that the training ran in.'
            )
            continue
        notes.clear()
        return truth, list(dataset.metainfo['classes']), evaluator.get('eval_mode', 'area')
    return {}, [], 'area'


def _gains(runs: Sequence[Run]) -> list[dict]:
    """How much each distilled run's mAP is above its baseline's, and of the teacher's lead."""
    pairs = [(run, baseline_of(run, runs)) for run in runs if run.role == DISTILLED]
    teacher = next((one for one in runs if one.role == TEACHER and one.score is not None), None)
    gains = []
    for run, other in pairs:
        if other is None or run.score is None or other.score is None:
            continue
        gain = run.score - other.score
        lead = teacher.score - other.score if teacher else 0
        closed = gain / lead if lead > 0 else None
        gains.append(dict(run=run.name, baseline=other.name, gain=gain, closed=closed))
    return gains


def _mean_gain(gains: Sequence[dict]) -> dict | None:
    """Mean and sample standard deviation of the gains, where there are several."""
    values = [one['gain'] for one in gains]
    if len(values) < 2:
        return None
    return dict(mean=statistics.mean(values), std=statistics.stdev(values), count=len(values))


def _table(
    runs: Sequence[Run], classes: Sequence[str], qualities: dict[str, list[ClassQuality]]
) -> dict:
    """AP per class and the mean, as the tests' JSON says, and what each distilled run gains.

    A class's AP that the JSON lacks is computed from the predictions.
    """

    def ap(run: Run, name: str) -> float | None:
        for key, value in run.metrics.items():
            if key.endswith(f'AP/{name}'):
                return value
        return next((one.ap for one in qualities.get(run.name, []) if one.name == name), None)

    named = [key.split('AP/', 1)[1] for run in runs for key in run.metrics if '/AP/' in f'/{key}']
    names = list(classes) or list(dict.fromkeys(named))
    counts = {one.name: one.objects for own in qualities.values() for one in own}
    differences = [
        (run, other)
        for run in runs
        if run.role == DISTILLED and (other := baseline_of(run, runs)) is not None
    ]

    def row(name: str, value: Callable[[Run], float | None]) -> dict:
        values = {run.name: value(run) for run in runs}
        return dict(
            name=name,
            objects=counts.get(name),
            values=list(values.values()),
            gains=[
                None
                if values[run.name] is None or values[other.name] is None
                else values[run.name] - values[other.name]
                for run, other in differences
            ],
        )

    return dict(
        columns=[run.name for run in runs],
        differences=[f'{run.name} − {other.name}' for run, other in differences],
        rows=[row(name, lambda run, name=name: ap(run, name)) for name in names],
        mean=row('mean (mAP)', lambda run: run.score),
    )


def _figures(
    runs: Sequence[Run],
    gallery: Sequence[dict],
    truth: dict,
    notes: list[str],
    say: Callable[[str], None],
) -> list[dict]:
    """The figures of what was transferred, on the gallery's first image."""
    run = next((one for one in runs if one.role == DISTILLED and one.checkpoint), None)
    if run is None:
        return []
    if not truth:
        notes.append(
            'There is no figure of the patterns, for no test image could be read: draw it with '
            'tools/visualize_nst.py.'
        )
        return []
    # t-SNE takes seconds, hundreds of channels longer.
    say('drawing the patterns of teacher and student')
    name = gallery[0]['name'] if gallery else str(next(iter(truth)))
    image = next(one['path'] for key, one in truth.items() if str(key) == name)
    baseline = baseline_of(run, runs)
    before = str(baseline.checkpoint) if baseline is not None and baseline.checkpoint else None
    first = 'the student as training begins'
    if before is not None:
        first = f'{baseline.name}, trained without a teacher'
    compared = f' “Before” is {first}; “after” is {run.name}. Test image {name}.'
    try:
        (views,) = compare_students(run.cfg, str(run.checkpoint), before, [image])
        return [
            dict(one, caption=one['caption'] + compared, image=name)
            for view in views
            for one in _figures_of(view)
        ]
    except Exception as error:  # a teacher that has moved, a layer that is gone: the rest stands
        reason = ' '.join(str(error).split()) or type(error).__name__
        notes.append(f'There is no figure of the patterns: {reason}')
        return []


def _figures_of(view: LayerView) -> list[dict]:
    """The figures of one layer: ``kind``, ``caption`` and ``png``, in base64."""
    distances = {title: view.mmd2(title) for title in view.students}
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        for file in write_figures([view], Path(folder)):
            if file.suffix == '.png':
                kind = file.stem.rsplit('_', 1)[-1]
                caption = CAPTIONS[kind].format(layer=view.layer, **distances)
                png = base64.b64encode(file.read_bytes()).decode()
                figures.append(dict(kind=kind, caption=caption, png=png))
    return figures


def _environments(runs: Sequence[Run]) -> list[dict]:
    """The environments that the runs were trained in, each with the names of its runs."""
    groups: list[dict] = []
    for run in runs:
        versions = environment(run)
        same = next((one for one in groups if one['versions'] == versions), None)
        if same:
            same['runs'].append(run.name)
        elif versions:
            groups.append(dict(runs=[run.name], versions=versions))
    return groups
