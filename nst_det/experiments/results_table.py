"""The methods' results side by side, in the layout of the NST paper's table 4."""

import csv
import io
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files

from nst_det.errors import UserError, nearest
from nst_det.evaluation import PairedGain, paired_gain
from nst_det.experiments.protocol import Protocol
from nst_det.experiments.trial import Result

PAPER = 'arXiv 1707.01219'
PAPER_LINE = "the paper's table 4"  # what its lines are called, so that nobody takes them for ours


@dataclass
class Row:
    """A method's results.

    Args:
        method (str): What the table calls it.
        results (dict[int, Result]): By seed.
        competes (bool): Whether it can be the best; a teacher is there for comparison only.
            Defaults to True.
    """

    method: str
    results: dict[int, Result] = field(default_factory=dict)
    competes: bool = True

    @property
    def maps(self) -> dict[int, float]:
        """dict[int, float]: mAP in percent by seed."""
        return {seed: 100 * one.mAP for seed, one in self.results.items()}

    @property
    def mean(self) -> float:
        """float: The mean mAP over the seeds, in percent."""
        return statistics.fmean(self.maps.values())

    @property
    def std(self) -> float | None:
        """float or None: The sample standard deviation over the seeds; None with one seed."""
        return statistics.stdev(self.maps.values()) if len(self.results) > 1 else None

    def ap(self, name: str) -> float:
        """A class's AP, in percent.

        Args:
            name (str): The class.

        Returns:
            float: The mean over the seeds.
        """
        return statistics.fmean(100 * one.aps[name] for one in self.results.values())


@dataclass
class ResultsTable:
    """Methods, their mAP and AP by class, and each one's gain over the baseline.

    Args:
        rows (list[Row]): The methods, in the table's order.
        baseline (str): The method that gains are over.
        paper (dict[str, dict[str, float]]): Of the methods to be shown beside, the paper's
            ``'mAP'`` and each class's AP. Defaults to none.
        protocol (str): How AP is taken. Defaults to ``'11 points'``, as in VOC2007.

    Raises:
        UserError: Where there is no row, or the rows' classes differ.
    """

    rows: list[Row]
    baseline: str
    paper: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    protocol: str = '11 points'

    def __post_init__(self) -> None:
        self.rows = [row for row in self.rows if row.results]
        if not self.rows:
            raise UserError('there is no result yet, so there is no table')
        kinds = {tuple(one.aps): row.method for row in self.rows for one in row.results.values()}
        if len(kinds) > 1:
            (some, one), (others, other) = list(kinds.items())[:2]
            raise UserError(
                f'{one} was tested on the classes {", ".join(some)} and {other} on '
                f'{", ".join(others)}: one table needs one test set'
            )
        (self.classes,) = kinds

    @property
    def title(self) -> str:
        """str: What the values are."""
        return f'VOC mAP and AP ({self.protocol}, %) on the test images'

    def gain(self, row: Row) -> PairedGain | None:
        """How a method compares with the baseline, over the seeds that both have.

        Args:
            row (Row): The method.

        Returns:
            PairedGain or None: In points of mAP; None of the baseline itself, of what does not
            compete, and where they have no seed in common.
        """
        base = next((one for one in self.rows if one.method == self.baseline), None)
        if base is None or row is base or not row.competes:
            return None
        seeds = sorted(set(row.maps) & set(base.maps))
        if not seeds:
            return None
        return paired_gain([row.maps[s] for s in seeds], [base.maps[s] for s in seeds])

    def cells(self) -> list[list[str]]:
        """The table's text.

        Returns:
            list[list[str]]: The header, then a line per method, and the paper's below it.
        """
        head = ['method', self.seeds_text, *self.classes]
        lines = [head]
        for row in self.rows:
            spread = '' if row.std is None else f' ± {row.std:.1f}'
            lines.append([row.method, f'{row.mean:.1f}{spread}'])
            lines[-1] += [f'{row.ap(name):.1f}' for name in self.classes]
            if row.method in self.paper:
                paper = self.paper[row.method]
                lines.append([PAPER_LINE, *(f'{paper[n]:.1f}' for n in ('mAP', *self.classes))])
        return lines

    @property
    def seeds_text(self) -> str:
        """str: The head of the column of means."""
        most = max(len(row.results) for row in self.rows)
        return 'mAP' if most == 1 else 'mAP, mean ± std'

    def best(self) -> set[tuple[int, int]]:
        """Where the best values are.

        Returns:
            set[tuple[int, int]]: Line and column of :meth:`cells`, the highest value of each
            column among the methods that compete, as it is written; equal ones share it.
        """
        own = [row for row in self.rows if row.competes]
        lines = {id(row): line for line, row in self._lines()}
        places = set()
        for column, values in enumerate(
            [[row.mean for row in own], *([row.ap(c) for row in own] for c in self.classes)], 1
        ):
            written = [round(value, 1) for value in values]
            if len(own) > 1:
                places |= {
                    (lines[id(row)], column)
                    for row, value in zip(own, written)
                    if value == max(written)
                }
        return places

    def _lines(self) -> list[tuple[int, Row]]:
        """Which line of the cells a row is in."""
        numbered, line = [], 1
        for row in self.rows:
            numbered.append((line, row))
            line += 2 if row.method in self.paper else 1
        return numbered

    def gain_cells(self) -> list[list[str]]:
        """The gains' text.

        Returns:
            list[list[str]]: The header, then a line per method that is compared.
        """
        lines = [['method', f'gain over {self.baseline}', '95 % interval', 'p', 'seeds', '']]
        for row in self.rows:
            gain = self.gain(row)
            if gain is None:
                continue
            interval = gain.interval and f'{gain.interval[0]:+.1f} to {gain.interval[1]:+.1f}'
            p_value = '' if gain.p_value is None else f'{gain.p_value:.2g}'
            lines.append(
                [row.method, f'{gain.mean:+.1f}', interval or '', p_value, str(gain.seeds)]
            )
            lines[-1].append(gain.verdict)
        return lines

    def markdown(self) -> str:
        """The table, the gains, and how to read them, as Markdown.

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
            shown = '; '.join(f'{method} {of}' for method, of in seeds.items())
            text += f'\nThe rows do not have the same seeds yet: {shown}.\n'
        gains = self.gain_cells()
        if len(gains) > 1:
            text += (
                f'\nGain over {self.baseline} in points of mAP, paired over the seeds: mean, 95 % '
                'confidence interval and p-value of the paired t-test, not corrected for the '
                f'{len(gains) - 1} comparisons.\n\n' + _markdown(gains)
            )
        return text

    def csv(self) -> str:
        """The table as CSV, a line per method; the paper's values in lines of their own.

        Returns:
            str: The text. Values in percent, unrounded; empty where there is none.
        """
        out = io.StringIO()
        writer = csv.writer(out, lineterminator='\n')
        gains = ['gain', 'gain_low', 'gain_high', 'p_value']
        writer.writerow(['method', 'source', 'seeds', 'mAP', 'mAP_std', *self.classes, *gains])
        for row in self.rows:
            gain = self.gain(row)
            low, high = (gain and gain.interval) or (None, None)
            writer.writerow(
                [row.method, 'measured', ' '.join(map(str, row.results)), row.mean, row.std]
                + [row.ap(name) for name in self.classes]
                + [gain and gain.mean, low, high, gain and gain.p_value]
            )
            if row.method in self.paper:
                paper = self.paper[row.method]
                aps = [paper[name] for name in self.classes]
                writer.writerow([row.method, PAPER, '', paper['mAP'], '', *aps, '', '', '', ''])
        return out.getvalue()


def paper_rows(test: Protocol) -> dict[str, dict[str, float]]:
    """The paper's table 4.

    Args:
        test (Protocol): The test of the table that it is put beside.

    Returns:
        dict[str, dict[str, float]]: By method, ``'mAP'`` and the AP of each class, in percent.

    Raises:
        UserError: Where the classes are not VOC's, or AP is not of 11 points.
    """
    if test.protocol != '11 points':
        raise UserError(
            f"the paper's AP is of 11 points, the rows' is {test.protocol}: leave out --paper"
        )
    text = files('nst_det.experiments').joinpath('voc07_table4.csv').read_text()
    lines = [line for line in text.splitlines() if not line.startswith('#')]
    table = list(csv.DictReader(lines))
    own = list(table[0])[2:]
    for name in test.classes:
        if name not in own:
            raise UserError(
                f"the paper's table is of VOC's 20 classes, and '{name}' is none of them: "
                f'{nearest(name, own)}; leave out --paper'
            )
    keys = ('mAP', *test.classes)
    return {line['method']: {key: float(line[key]) for key in keys} for line in table}


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    head, *body = lines
    rule = ['---', *['---:'] * (len(head) - 1)]
    return ''.join(f'| {" | ".join(line)} |\n' for line in (head, rule, *body))
