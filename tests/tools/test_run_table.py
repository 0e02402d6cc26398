"""The table tool: from configs to a table, killed half-way, and mistakes of the user."""

import csv
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from locations import ROOT


def fails(result):
    status, _, err = result
    assert status == 2, err
    (line,) = [line for line in err.splitlines() if line.startswith('error: ')]
    return line


def table_of(work_dir):
    return list(csv.DictReader(Path(work_dir, 'table.csv').read_text().splitlines()))


@pytest.fixture
def rows(write, tiny_config, tiny_distiller, warm_python, monkeypatch):
    """The configs of two rows, the plain student and NST; their trainings start at once."""
    monkeypatch.setattr(sys, 'executable', warm_python)
    plain = tiny_config('student', log_level='INFO', method='Baseline')
    plain.train_cfg.max_epochs = 1
    nst = tiny_distiller(log_level='INFO', method='NST')
    nst.train_cfg.max_epochs = 1
    return write(plain, 'baseline.py'), write(nst, 'nst.py')


# A table whose rows are the configs of the fixture.
TABLE = """
_base_ = './{{$ROW:baseline}}.py'
row = '{{$ROW:baseline}}'
rows = ['baseline', 'nst', 'third']
"""


def test_two_rows_of_a_table_are_trained_and_nothing_is_done_twice(tool, rows):
    Path('table.py').write_text(TABLE)
    call = ['run_table', 'table.py', '--rows', 'nst', 'baseline', '--seeds', 3]
    call += ['--work-dir', 'table']
    status, out, err = tool(*call)
    assert status == 0, err
    assert '[2/2] NST, seed 3: mAP' in out
    assert 'one seed: no interval' in Path('table/table.md').read_text()
    lines = table_of('table')
    results = [
        json.loads(Path(f'table/{name}/seed3.json').read_text()) for name in ('baseline', 'nst')
    ]
    assert [line['method'] for line in lines] == ['Baseline', 'NST']
    assert [float(line['mAP']) / 100 for line in lines] == [
        result['metrics']['pascal_voc/mAP'] for result in results
    ]
    assert 'star' in lines[0]
    assert 'seed=3' in Path('table/nst/seed3.py').read_text()
    assert Path('table/table.png').stat().st_size > 5000
    before = Path('table/nst/seed3.json').stat().st_mtime_ns

    status, out, err = tool(*call)
    assert status == 0, err
    assert '2 of 2 are finished already' in out
    assert Path('table/nst/seed3.json').stat().st_mtime_ns == before

    # Another config is never taken for what is there.
    line = fails(tool(*call, '--cfg-options', 'optim_wrapper.optimizer.lr=0.5'))
    assert 'trained with another config: optim_wrapper.optimizer.lr was 0.003 and is 0.5' in line
    # Nor is another teacher.
    teacher = Path('teacher.pth')
    teacher.write_bytes(teacher.read_bytes() + b' ')
    assert 'NST, seed 3 was trained with another config: teacher_sha256' in fails(tool(*call))


@pytest.mark.slow
def test_what_fails_is_said_and_the_others_are_done(tool, rows, write, tiny_config):
    broken = tiny_config('student', method='Broken')
    broken.train_dataloader.dataset.data_root = 'nowhere/'
    call = ['run_table', rows[0], write(broken, 'broken.py'), '--seeds', 0, 1]
    line = fails(tool(*call, '--work-dir', 'table'))
    assert '1 of 4 failed, Broken, seed 0: tools/train.py failed' in line
    assert 'no VOC devkit' in line
    assert [line['seeds'] for line in table_of('table')] == ['0 1']

    # Nothing was trained of it, so that it may begin with a mended config.
    write(tiny_config('student', method='Broken'), 'broken.py')
    status, _, err = tool(*call, '--work-dir', 'table')
    assert status == 0, err
    assert [line['seeds'] for line in table_of('table')] == ['0 1', '0 1']


@pytest.mark.slow
def test_a_table_killed_half_way_goes_on_from_its_last_checkpoint(write, tiny_config):
    cfg = tiny_config('student', log_level='INFO', method='Baseline')
    cfg.train_cfg.max_epochs = 15
    config = write(cfg, 'baseline.py')
    command = [sys.executable, str(ROOT / 'tools' / 'run_table.py'), str(config)]
    command += ['--work-dir', 'table']
    folder = config.parent
    first = subprocess.Popen(command, cwd=folder, start_new_session=True)
    note = folder / 'table/baseline/seed0/last_checkpoint'
    deadline = time.time() + 120
    while not (note.is_file() and 'epoch_3' in note.read_text()):
        assert first.poll() is None and time.time() < deadline
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert not (folder / 'table/baseline/seed0.json').exists()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    log = (folder / 'table/baseline/seed0.log').read_text()
    assert 'resumed epoch: ' in log
    assert log.count('Epoch(train)  [1][2/2]') == 1
    assert (folder / 'table/baseline/seed0.json').is_file()


# A user's mistakes: one line, exit status 2, before anything is trained.


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['nowhere.py'], 'there is no config file'),
        (['baseline.py', '--baseline', 'basline'], "none of the rows: did you mean 'baseline'"),
        (['baseline.py', 'baseline.py'], 'two rows are called baseline'),
        (['baseline.py', '--rows', 'basline'], '--rows basline is no row of these configs'),
        (['baseline.py', '--seeds', '1', '1'], '--seeds has a value twice: 1 1'),
        (['baseline.py', '--seeds', '-1'], '--seeds has -1'),
        (['baseline.py', '--paper'], "'circle' is none of them"),
        (['baseline.py', '--teacher', 'gone.py'], 'there is no config file'),
        (['baseline.py', '--cfg-options', 'modle.type=x'], "did you mean 'model'"),
        (['baseline.py', '--cfg-options', 'model.backbone.type=Inception'], 'Inception'),
    ],
)
def test_a_wrong_argument(tool, rows, arguments, message):
    assert message in fails(tool('run_table', *arguments, '--work-dir', 'table'))
    assert not list(Path('.').rglob('seed*'))


def test_rows_that_are_tested_on_different_images(tool, rows, write, tiny_config):
    other = tiny_config('student', method='Other')
    other.test_dataloader.dataset.ann_file = 'VOC2007/ImageSets/Main/trainval.txt'
    line = fails(tool('run_table', rows[0], write(other, 'other.py'), '--work-dir', 'table'))
    assert 'the test differs in its images' in line
    assert 'trainval.txt in other: one table needs one test' in line
    assert not Path('table').exists()


def test_a_work_dir_that_is_in_use(tool, rows):
    Path('table').mkdir()
    with Path('table/.lock').open('w') as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        line = fails(tool('run_table', rows[0], '--work-dir', 'table'))
    assert 'uses table: wait until it ends' in line
