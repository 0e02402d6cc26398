"""The report as one HTML file that needs no network and no other file."""

import json
import math
import re
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from nst_det.errors import UserError
from nst_det.evaluation.results import number_text
from nst_det.experiments.report.contents import collect
from nst_det.experiments.run_folder import Run
from nst_det.fileio.atomic import write_atomically

HERE = Path(__file__).parent
GENERATOR = 'name="generator" content="nst_det'  # as in the template


def write_report(
    runs: Sequence[Run],
    out: Path,
    title: str = 'Distillation report',
    progress: Callable[[str], None] = print,
) -> None:
    """Write the report on some runs.

    The report lists what a run lacks, and shows the rest.

    Args:
        runs (Sequence[Run]): The runs, see :func:`read_runs`.
        out (Path): The HTML file. Its folder is created if it does not exist. If the test has more
            than 200 images, their pictures are in the folder ``<name>_files`` beside it.
        title (str): The heading. Defaults to ``'Distillation report'``.
        progress (Callable): Called with a line of text at the beginning of each step. Defaults to
            ``print``.

    Raises:
        UserError: If plotly or Jinja is not installed, or the file exists and is no report.
    """
    check_packages()
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from plotly.offline import get_plotlyjs

    if out.exists() and GENERATOR not in out.read_text(encoding='utf-8', errors='replace')[:4000]:
        raise UserError(f'{out} exists and is no report: choose another name with -o')
    data = collect(runs, title, progress, out.with_name(f'{out.stem}_files'))
    templates = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(
        number=_number, percent=_percent, direction=_direction, brief='{:.3g}'.format
    )
    page = templates.get_template('report.html.jinja').render(
        **data,
        data_block=json_block(data),
        pictures_block=_script_json(
            [image['picture'] for image in (data['gallery'] or {}).get('images', [])]
        ),
        style=(HERE / 'report.css').read_text(encoding='utf-8'),
        script=(HERE / 'report.js').read_text(encoding='utf-8'),
        plotly=get_plotlyjs(),
    )
    write_atomically(out, page.encode())


def check_packages() -> None:
    """Check that what the report needs is installed.

    Raises:
        UserError: If plotly or Jinja is not.
    """
    missing = [name for name in ('plotly', 'jinja2') if find_spec(name) is None]
    if missing:
        raise UserError(f'the report needs {missing[0]}: pip install plotly jinja2 scikit-learn')


def json_block(data: dict) -> str:
    """Write the numbers of the report as JSON that is safe inside a ``<script>``.

    Args:
        data (dict): The contents, see :func:`collect`.

    Returns:
        str: JSON without the pictures; NaN and infinity are null.
    """
    lean = dict(data, figures=[{**figure, 'png': None} for figure in data['figures']])
    if data['gallery']:
        images = [{**image, 'picture': None} for image in data['gallery']['images']]
        lean['gallery'] = {**data['gallery'], 'images': images}
    return _script_json(lean)


def _script_json(content: object) -> str:
    """JSON that cannot end the ``<script>`` that it is in."""
    text = json.dumps(
        _finite(content), ensure_ascii=False, allow_nan=False, separators=(',', ':'), default=str
    )
    return text.replace('<', '\\u003c').replace('\u2028', '\\u2028').replace('\u2029', '\\u2029')


def _number(value: float | None, percent: bool, signed: bool = False) -> str:
    """Write a value in percent or as it is, with a true minus sign and no sign at zero."""
    if value is None or math.isnan(value):
        return '–'
    scaled, spec = (100 * value, '.1f') if percent else (value, '.4g')
    return re.sub('^-', '−', number_text(scaled, signed, spec))


def _percent(value: float | None, signed: bool = False) -> str:
    return _number(value, True, signed)


def _direction(value: float | None, percent: bool, higher_is_better: bool = True) -> str:
    """The CSS class of a difference: better, worse, or neither if it is written as zero."""
    if value is None or not _number(value, percent).strip('0.–'):
        return ''
    return 'up' if (value > 0) == higher_is_better else 'down'


def _finite(value):
    """Replace NaN and infinity, which JSON does not have, by null."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
