"""The results of several methods side by side, in the layout of table 4 of the NST paper."""

import csv
import io
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from nst_det.errors import UserError, nearest
from nst_det.evaluation import Metric, PairedGain, Results, paired_gain
from nst_det.evaluation.results import number_text
from nst_det.experiments.paper import PAPER, PAPER_LINE
from nst_det.experiments.trial import Result

Shared = TypeVar('Shared')


@dataclass
class Row:
    """The results of a method.

    Args:
        method (str): Its name in the table.
        results (dict[int, Result]): The results by seed.
        competes (bool): Whether it can be the best. A teacher is only there for comparison.
            Defaults to True.
        main (str, optional): The key of the metric to compare by. Defaults to None: see
            :class:`Results`.
    """

    method: str
    results: dict[int, Result] = field(default_factory=dict)
    competes: bool = True
    main: str | None = None

    def read(self) -> list[Results]:
        """Read the results of all seeds.

        Returns:
            list[Results]: The results.
        """
        return [result.read(self.main) for result in self.results.values()]

    @property
    def scores(self) -> dict[int, float]:
        """dict[int, float]: The main metric by seed, in its unit."""
        return {
            seed: results.main.scaled(results.score)
            for seed, results in zip(self.results, self.read())
        }

    @property
    def mean(self) -> float:
        """float: The mean of the main metric over the seeds."""
        return statistics.fmean(self.scores.values())

    @property
    def std(self) -> float | None:
        """float or None: The sample standard deviation over the seeds; None with one seed."""
        return statistics.stdev(self.scores.values()) if len(self.results) > 1 else None

    def class_mean(self, name: str) -> float:
        """The mean over the seeds of the value of a class.

        Args:
            name (str): The class.

        Returns:
            float: The mean, in the unit of the metric.
        """
        return statistics.fmean(
            results.class_mean.scaled(results.classes[name]) for results in self.read()
        )

    def metric_mean(self, metric: Metric) -> float:
        """The mean over the seeds of a metric.

        Args:
            metric (Metric): The metric.

        Returns:
            float: The mean, in the unit of the metric.
        """
        return statistics.fmean(
            metric.scaled(results.values[metric.key]) for results in self.read()
        )


@dataclass
class ResultsTable:
    """The methods with their main metric and its values by class, and the gains over a baseline.

    Args:
        rows (list[Row]): The methods, in the order of the table. Rows without results are left out.
        baseline (str): The method that the others are compared with.
        paper (dict[str, dict[str, float]]): The values of the paper by method, each a dict by the
            name of a metric or class, shown below our values. Defaults to none.
        protocol (str): How VOC takes AP. Defaults to ``'11 points'``, as in VOC2007.
        metrics (Sequence[str]): The keys of the metrics to show, such as ``'coco/bbox_mAP_50'``.
            The methods are compared by the first; the others have a column each. Defaults to none:
            the main metric of the results.

    Raises:
        UserError: If there is no result, the rows differ in their metric or classes, or a test has
            not reported one of the metrics.
    """

    rows: list[Row]
    baseline: str
    paper: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    protocol: str = '11 points'
    metrics: Sequence[str] = ()

    def __post_init__(self) -> None:
        self.rows = [row for row in self.rows if row.results]
        if not self.rows:
            raise UserError('there is no result yet, so there is no table')
        for row in self.rows:
            _check_reported(row, self.metrics)
            row.main = next(iter(self.metrics), None)
        results = {row.method: row.read() for row in self.rows}
        self.more = [self._find(key) for key in self.metrics[1:]]
        self.metric: Metric = _shared(
            {method: [test.main for test in tests] for method, tests in results.items()},
            lambda metric: metric.title,
        )
        self.classes: tuple[str, ...] = _shared(
            {method: [_classes(test) for test in tests] for method, tests in results.items()},
            lambda classes: f'the classes {", ".join(classes) or "(none reported)"}',
        )

    def _find(self, key: str) -> Metric:
        """The metric of a key."""
        return next(metric for metric in self.rows[0].read()[0].metrics if metric.key == key)

    @property
    def title(self) -> str:
        """str: The metric of the table, with its protocol and unit."""
        if self.metric.counts_as_voc:
            return f'VOC mAP and AP ({self.protocol}, %) on the test images'
        unit = f', {self.metric.unit}' if self.metric.unit else ''
        lower = '' if self.metric.higher_is_better else ', lower is better'
        return f'{self.metric.title}{unit} on the test images{lower}'

    def gain(self, row: Row) -> PairedGain | None:
        """Compare a method with the baseline, over the seeds that both have.

        Args:
            row (Row): The method.

        Returns:
            PairedGain or None: The gain in the unit of the metric. None for the baseline itself,
            for a row that does not compete, and for a row without a common seed.
        """
        base = next((plain for plain in self.rows if plain.method == self.baseline), None)
        if base is None or row is base or not row.competes:
            return None
        seeds = sorted(set(row.results) & set(base.results))
        if not seeds:
            return None
        values, base_values = row.scores, base.scores
        return paired_gain(
            [values[seed] for seed in seeds],
            [base_values[seed] for seed in seeds],
            higher_is_better=self.metric.higher_is_better,
        )

    def cells(self) -> list[list[str]]:
        """Write the cells of the table.

        Returns:
            list[list[str]]: The header, then a line per method, with the line of the paper below.
        """
        lines = [['method', self.seeds_text, *(m.title for m in self.more), *self.classes]]
        for row in self.rows:
            spread = '' if row.std is None else f' ± {self._text(row.std)}'
            line = [row.method, f'{self._text(row.mean)}{spread}']
            line += [_text(metric, row.metric_mean(metric)) for metric in self.more]
            lines.append(line + [self._text(row.class_mean(name)) for name in self.classes])
            if row.method in self.paper:
                values = self._paper_values(row.method)
                lines.append([PAPER_LINE, *('' if v is None else _text(m, v) for m, v in values)])
        return lines

    def _paper_values(self, method: str) -> list[tuple[Metric, float | None]]:
        """The values of the paper in the order of the columns, None where it reports none."""
        paper = self.paper[method]
        named = [(metric, metric.name) for metric in (self.metric, *self.more)]
        named += [(self.metric, name) for name in self.classes]
        return [(metric, paper.get(name)) for metric, name in named]

    def _text(self, value: float, signed: bool = False) -> str:
        return _text(self.metric, value, signed)

    @property
    def seeds_text(self) -> str:
        """str: The heading of the column of means."""
        most = max(len(row.results) for row in self.rows)
        return self.metric.name if most == 1 else f'{self.metric.name}, mean ± std'

    def best(self) -> set[tuple[int, int]]:
        """Find the best values.

        Returns:
            set[tuple[int, int]]: Line and column of :meth:`cells` of the best value of each column
            among the methods that compete. Values that are written alike share it; a column whose
            values are all zero has none.
        """
        own = [row for row in self.rows if row.competes]
        if len(own) < 2:
            return set()
        line_of = {row.method: line for line, row in self._lines()}
        columns = [(self.metric, [row.mean for row in own])]
        columns += [(metric, [row.metric_mean(metric) for row in own]) for metric in self.more]
        columns += [(self.metric, [row.class_mean(name) for row in own]) for name in self.classes]
        places = set()
        for column, (metric, values) in enumerate(columns, 1):
            written = [float(_text(metric, value)) for value in values]
            best = max if metric.higher_is_better else min
            if any(written):
                places |= {
                    (line_of[row.method], column)
                    for row, value in zip(own, written)
                    if value == best(written)
                }
        return places

    def _lines(self) -> list[tuple[int, Row]]:
        """The rows with the number of their line in the cells."""
        numbered, line = [], 1
        for row in self.rows:
            numbered.append((line, row))
            line += 2 if row.method in self.paper else 1
        return numbered

    def gain_cells(self) -> list[list[str]]:
        """Write the cells of the table of gains.

        Returns:
            list[list[str]]: The header, then a line per method that is compared.
        """
        lines = [
            ['method', f'{self.comparison} {self.baseline}', '95 % interval', 'p', 'seeds', '']
        ]
        for row in self.rows:
            gain = self.gain(row)
            if gain is None:
                continue
            interval = ''
            if gain.interval is not None:
                low, high = (self._text(bound, signed=True) for bound in gain.interval)
                interval = f'{low} to {high}'
            p_value = '' if gain.p_value is None else f'{gain.p_value:.2g}'
            mean = self._text(gain.mean, signed=True)
            lines.append([row.method, mean, interval, p_value, str(gain.seeds), gain.verdict])
        return lines

    @property
    def comparison(self) -> str:
        """str: What a difference is called: a negative one is no gain where lower is better."""
        return 'gain over' if self.metric.higher_is_better else 'change from'

    @property
    def points(self) -> str:
        """str: The unit of a gain, such as ``'points of mAP'``."""
        return f'points of {self.metric.name}' if self.metric.percent else self.metric.name

    def markdown(self) -> str:
        """Write the table, the gains and how to read them as Markdown.

        Returns:
            str: The text.
        """
        best = self.best()
        text = f'{self.title}. Best in bold.\n\n'
        text += _markdown(
            [
                [f'**{cell}**' if (i, j) in best else cell for j, cell in enumerate(line)]
                for i, line in enumerate(self.cells())
            ]
        )
        if self.paper:
            text += f'\nLines of *{PAPER_LINE}* are from {PAPER}, not results of these runs.\n'
        seeds = {
            row.method: ' '.join(map(str, sorted(row.results))) for row in self.rows if row.competes
        }
        if len(set(seeds.values())) > 1:
            listed = '; '.join(f'{method} {numbers}' for method, numbers in seeds.items())
            text += f'\nThe rows do not have the same seeds yet: {listed}.\n'
        gains = self.gain_cells()
        if len(gains) > 1:
            text += (
                f'\n{self.comparison.capitalize()} {self.baseline} in {self.points}, paired over '
                'the seeds: mean, 95 % confidence interval and p-value of the paired t-test, not '
                f'corrected for the {len(gains) - 1} comparisons.\n\n' + _markdown(gains)
            )
        return text

    def csv(self) -> str:
        """Write the table as CSV, a line per method; the values of the paper have their own lines.

        Returns:
            str: The text. The values are in the unit of the metric and not rounded.
        """
        out = io.StringIO()
        writer = csv.writer(out, lineterminator='\n')
        gains = ['gain', 'gain_low', 'gain_high', 'p_value']
        name = self.metric.name
        more = [metric.key for metric in self.more]
        writer.writerow(
            ['method', 'source', 'seeds', name, f'{name}_std', *more, *self.classes, *gains]
        )
        for row in self.rows:
            gain = self.gain(row)
            low, high = (gain and gain.interval) or (None, None)
            writer.writerow(
                [row.method, 'measured', ' '.join(map(str, row.results)), row.mean, row.std]
                + [row.metric_mean(metric) for metric in self.more]
                + [row.class_mean(name) for name in self.classes]
                + [gain and gain.mean, low, high, gain and gain.p_value]
            )
            if row.method in self.paper:
                mean, *others = [value for _, value in self._paper_values(row.method)]
                writer.writerow([row.method, PAPER, '', mean, '', *others, *[''] * 4])
        return out.getvalue()


def _check_reported(row: Row, keys: Sequence[str]) -> None:
    """Check that all tests of a row report the metrics."""
    for results in row.read():
        reported = [metric.key for metric in results.metrics]
        for key in keys:
            if key not in reported:
                raise UserError(
                    f'--metric {key}: the test of {row.method} does not report it: '
                    f'{nearest(key, reported)}'
                )


def _text(metric: Metric, value: float, signed: bool = False) -> str:
    """Write a value in the unit of its metric."""
    return number_text(value, signed, metric.spec)


def _classes(results: Results) -> tuple[str, ...]:
    """The classes whose values belong to the main metric."""
    return tuple(results.classes) if results.class_mean == results.main else ()


def _shared(by_method: Mapping[str, Sequence[Shared]], name: Callable[[Shared], str]) -> Shared:
    """The value that all results of all methods have in common."""
    methods = {value: method for method, values in by_method.items() for value in values}
    if len(methods) > 1:
        (value, method), (other_value, other_method) = list(methods.items())[:2]
        raise UserError(
            f'{method} was tested on {name(value)} and {other_method} on {name(other_value)}: '
            'one table needs one test set and one metric'
        )
    (value,) = methods
    return value


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    head, *body = lines
    rule = ['---', *['---:'] * (len(head) - 1)]
    return ''.join(f'| {" | ".join(line)} |\n' for line in (head, rule, *body))
