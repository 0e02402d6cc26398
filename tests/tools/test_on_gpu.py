"""The script that checks and measures on a GPU."""

import json

import pytest

from benchmarks.on_gpu.losses import losses_are_right
from benchmarks.on_gpu.report import Report, Setup


@pytest.fixture
def setup(tmp_path):
    return Setup(
        device='cpu', small=True, results=tmp_path / 'out', work_dir=tmp_path / 'work', turns=1
    )


def test_a_stage_that_fails_keeps_what_it_found_and_the_others_go_on(setup):
    def broken(_):
        yield dict(what='first', ms=1.5)
        raise RuntimeError('no such kernel')

    def fine(_):
        yield dict(what='second', ok=True)

    report = Report(setup)
    report.run('broken', broken)
    report.run('fine', fine)
    assert report.faults == ['broken: RuntimeError: no such kernel']
    saved = json.loads((setup.results / 'on_gpu.json').read_text())
    assert saved['stages']['broken']['rows'] == [dict(what='first', ms=1.5)]
    assert saved['stages']['fine']['rows'] == [dict(what='second', ok=True)]
    text = (setup.results / 'on_gpu.md').read_text()
    assert '| first | 1.5 |' in text and 'no such kernel' in text


def test_a_check_that_does_not_hold_is_a_fault(setup):
    report = Report(setup)
    report.run('checks', lambda _: iter([dict(what='a', ok=False), dict(what='b', ok=True)]))
    assert report.faults == ['checks: a: ok NO']


def test_a_figure_is_written_before_the_next_one_is_measured(setup):
    seen = []

    def stage(_):
        yield dict(what='first')
        seen.append(json.loads((setup.results / 'on_gpu.json').read_text()))
        yield dict(what='second')

    Report(setup).run('stage', stage)
    assert seen[0]['stages']['stage']['rows'] == [dict(what='first')]


def test_every_registered_loss_is_compared_with_float64(setup):
    rows = list(losses_are_right(setup))
    assert len(rows) > 50
    assert [row['what'] for row in rows if row['ok'] is not True] == []
