"""The report as a file: its numbers are the JSON's, it needs nothing else, and it works."""

import copy
import json
import re
from html.parser import HTMLParser

import pytest

from nst_det.errors import UserError
from nst_det.experiments.report import collect, read_runs, write_report
from nst_det.experiments.report.curves import training_charts
from nst_det.experiments.report.page import json_block


class Page(HTMLParser):
    """The tags of a page with their attributes, and the text of its JSON block."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.block = ''
        self.inside = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = dict(attrs).get('id') == 'report-data'

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        self.block += data if self.inside else ''


def quiet(_: str) -> None:
    """Progress that nobody reads."""


@pytest.fixture
def page(report) -> Page:
    """What is in the report."""
    return Page(report.file.read_text())


def test_its_numbers_are_those_of_the_json(report, page):
    work_dirs = report.work_dirs
    data = json.loads(page.block)
    for run in data['runs']:
        (file,) = (work_dirs[run['name']] / 'test').glob('*/*.json')
        metrics = json.loads(file.read_text())
        assert run['metrics'] == metrics
        shown = [one for _, one in page.tags if one.get('data-run') == run['name']]
        assert float(shown[0]['data-value']) == metrics['pascal_voc/mAP']
    cells = [one['data-value'] for tag, one in page.tags if tag == 'td' and 'data-value' in one]
    circle = cells[: len(cells) // 5]  # four classes and the mean
    assert [float(one) for one in circle[1:4]] == [1 / 3] * 3
    objects, *mean = cells[-len(circle) :]
    assert objects == ''
    scores = [0.123456789 + extra / 10 for extra in (2, 0, 1)]  # teacher, student, NST
    assert [float(one) for one in mean] == pytest.approx([*scores, scores[2] - scores[1]])


def test_its_curves_are_those_of_the_log(page):
    charts = {chart['title']: chart for chart in json.loads(page.block)['charts']}
    loss = {one['run']: one for one in charts['Training loss']['series']}
    assert loss['student']['x'] == [1, 2, 3]
    assert loss['student']['y'] == pytest.approx([3.0, 1.5, 1.0])
    (mmd2,) = charts['MMD² to the teacher (NST)']['series']
    assert mmd2['y'] == pytest.approx([0.01, 0.005, 0.01 / 3])
    (ratio,) = charts['Gradient ratio: transfer over detection']['series']
    assert (ratio['x'], ratio['y']) == ([2, 3], [1.5, 1.5])  # the first is no number
    assert charts['Throughput']['series'][0]['y'] == [8.0] * 3  # 4 images in half a second
    assert 'GPU memory' not in charts  # nobody logged it


def test_an_axis_is_logarithmic_where_the_values_are_far_apart(runs):
    runs[0].scalars = [dict(loss=100.0, lr=0.5, step=1), dict(loss=5.0, lr=0.1, step=2)]
    log = {chart['title']: chart['log'] for chart in training_charts(runs[:1])}
    assert log == {'Training loss': True, 'Learning rate': False}


def test_the_gallery_shows_the_largest_gains_first(page):
    gallery = json.loads(page.block)['gallery']
    gains = [image['gain'] for image in gallery]
    assert gains and gains == sorted(gains, reverse=True)
    for image in gallery:
        assert [one['title'] for one in image['panels']] == [
            'ground truth',
            'student',
            'nst_student',
            'teacher',
        ]
        by_title = {one['title']: one['score'] for one in image['panels']}
        assert image['gain'] == pytest.approx(by_title['nst_student'] - by_title['student'])


def test_without_gains_and_losses_the_gallery_shows_the_first_images(runs):
    for run in runs:
        run.checkpoint = None  # spares the figures
    runs[2].predictions = runs[1].predictions
    gallery = collect(runs, '', quiet)['gallery']
    assert len(gallery) == 4 and {image['gain'] for image in gallery} == {None}


def test_the_figures_of_the_patterns_are_in_it(page):
    data = json.loads(page.block)
    assert [one['kind'] for one in data['figures']] == ['clouds', 'channels', 'grams']
    assert data['notes'] == []
    assert [tag for tag, _ in page.tags].count('img') == 3


def test_it_refers_to_nothing_outside_itself(report, page):
    text = report.file.read_text()
    for tag, attributes in page.tags:
        for name in ('src', 'href', 'xlink:href', 'action', 'data'):
            value = attributes.get(name) or ''
            assert value.startswith(('#', 'data:')) or not value, (tag, name, value[:80])
    assert "default-src 'none'" in text
    assert '<b>& theirs' not in text  # what a user names is text


def test_what_is_missing_is_said_in_it_and_the_rest_is_shown(work_dirs, tmp_path):
    (work_dirs['nst_student'] / 'predictions.pkl').unlink()
    (work_dirs['teacher'] / 'epoch_2.pth').unlink()
    write_report(read_runs(list(work_dirs.values())), tmp_path / 'report.html', say=quiet)
    text = (tmp_path / 'report.html').read_text()
    assert 'What is missing' in text
    assert 'no predictions' in text
    assert 'There is no figure of the patterns' in text
    assert 'Precision and recall' in text


def test_a_test_set_that_has_moved_is_said_too(work_dirs, tmp_path):
    config = work_dirs['student'] / 'student.py'
    config.write_text(re.sub(r"data_root='[^']*'", "data_root='gone/'", config.read_text()))
    write_report(read_runs([work_dirs['student']]), tmp_path / 'report.html', say=quiet)
    text = (tmp_path / 'report.html').read_text()
    assert 'The test set cannot be read' in text
    assert 'AP/circle' in text  # from the JSON


def test_several_seeds_are_summed_up(runs):
    for run in runs:
        run.checkpoint = None  # spares the figures
    one = collect(runs, '', quiet)
    assert one['mean_gain'] is None
    assert one['gains'][0]['closed'] == pytest.approx(0.5)  # of the way to the teacher
    teacher, baseline, distilled = runs
    other = copy.copy(distilled)
    other.name, other.metrics = 'other', {'pascal_voc/mAP': baseline.score + 0.3}
    gain = collect([teacher, baseline, distilled, other], '', quiet)['mean_gain']
    assert gain == dict(mean=pytest.approx(0.2), std=pytest.approx(0.02**0.5), count=2)


def test_the_json_block_cannot_end_its_script(runs):
    block = json_block(dict(figures=[], gallery=[], name='</script><script>', no=float('nan')))
    assert '<' not in block
    assert json.loads(block)['name'] == '</script><script>'
    assert json.loads(block)['no'] is None


def test_a_report_is_written_anew_and_nothing_else_is_written_over(work_dirs, tmp_path):
    file = tmp_path / 'report.html'
    runs = read_runs([work_dirs['student']])
    write_report(runs, file, 'first', quiet)
    write_report(runs, file, 'second', quiet)
    assert '<title>second</title>' in file.read_text()
    file.write_text('<html>my thesis</html>')
    with pytest.raises(UserError, match='no report: choose another name'):
        write_report(runs, file, say=quiet)
    assert file.read_text() == '<html>my thesis</html>'


def test_a_missing_library_is_named(runs, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'plotly.offline', None)
    with pytest.raises(UserError, match='the report needs plotly'):
        write_report(runs, tmp_path / 'report.html', say=quiet)
