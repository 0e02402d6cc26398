"""The report: one HTML file that needs nothing else."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

from nst_det.errors import UserError
from nst_det.experiments.report.contents import collect
from nst_det.experiments.run_folder import Run
from nst_det.fileio.atomic import write_atomically

HERE = Path(__file__).parent
GENERATOR = 'name="generator" content="nst_det'  # as the template says


def write_report(
    runs: Sequence[Run],
    out: Path,
    title: str = 'Distillation report',
    say: Callable[[str], None] = print,
) -> None:
    """Write the report on some runs.

    What a run lacks is said in the report, and the rest is shown.

    Args:
        runs (Sequence[Run]): The runs: see :func:`read_runs`.
        out (Path): The HTML file; its folder is made.
        title (str): The heading. Defaults to ``'Distillation report'``.
        say (Callable): Is told what is going on. Defaults to ``print``.

    Raises:
        UserError: Where plotly or Jinja, which the report is made with, is not installed, or the
            file is there already and no report.
    """
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise UserError(
            f'the report needs {error.name}: pip install plotly jinja2 scikit-learn'
        ) from error
    if out.exists() and GENERATOR not in out.read_text(encoding='utf-8', errors='replace')[:4000]:
        raise UserError(f'{out} is there already and no report: choose another name by -o')
    data = collect(runs, title, say)
    templates = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters['percent'] = _percent
    templates.filters['brief'] = '{:.3g}'.format
    page = templates.get_template('report.html.jinja').render(
        **data,
        data_block=json_block(data),
        style=(HERE / 'report.css').read_text(encoding='utf-8'),
        script=(HERE / 'report.js').read_text(encoding='utf-8'),
        plotly=get_plotlyjs(),
    )
    write_atomically(out, page.encode())


def json_block(data: dict) -> str:
    """The report's numbers as JSON that is safe inside a ``<script>``.

    Args:
        data (dict): What :func:`collect` gave.

    Returns:
        str: JSON without the pictures; what is no number is null.
    """
    lean = dict(data, figures=[{**one, 'png': None} for one in data['figures']])
    lean['gallery'] = [{**one, 'picture': None} for one in data['gallery']]
    text = json.dumps(_finite(lean), ensure_ascii=False, allow_nan=False)
    return text.replace('<', '\\u003c').replace('\u2028', '\\u2028').replace('\u2029', '\\u2029')


def _percent(value: float | None, sign: bool = False) -> str:
    if value is None or math.isnan(value):
        return '–'
    return f'{100 * value:+.1f}'.replace('-', '−') if sign else f'{100 * value:.1f}'


def _finite(value):
    """Values as JSON knows them: nan and infinity are null."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
