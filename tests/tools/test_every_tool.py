"""Claims about every tool, each run in its own process, as a user starts it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from locations import CONFIGS, ROOT, TOOLS

NAMES = sorted(tool.stem for tool in TOOLS.glob('*.py'))
CONFIG = CONFIGS / 'faster_rcnn_nst_voc.py'
HEAVY = {'torch', 'torchvision', 'numpy', 'mmengine', 'mmcv', 'mmdet', 'matplotlib', 'cv2'}

# Run a script as the main program, and afterwards write the imported packages.
OBSERVE = """
import runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name='__main__')
finally:
    open('imported.txt', 'w').write(' '.join(sys.modules))
"""

# Arguments that name a file which does not exist, and the start of the one line that answers them.
MISSING_CONFIG = 'error: there is no config file '
MISSING_CHECKPOINT = 'error: checkpoint '
MISSING = [
    ('add_nst', 'gone.py --teacher {config} --teacher-checkpoint random', MISSING_CONFIG),
    ('add_nst', '{config} --teacher gone.py --teacher-checkpoint random', MISSING_CONFIG),
    ('add_nst', '{config} --teacher {config} --teacher-checkpoint gone.pth', MISSING_CHECKPOINT),
    ('convert_inception_bn', 'gone.params out.pth', MISSING_CHECKPOINT),
    ('distil', 'gone.py --teacher {config} --teacher-checkpoint random', MISSING_CONFIG),
    ('distil', '{config} --teacher gone.py --teacher-checkpoint random', MISSING_CONFIG),
    ('distil', '{config} --teacher {config} --teacher-checkpoint gone.pth', MISSING_CHECKPOINT),
    ('export_student', 'gone.py {file}', MISSING_CONFIG),
    ('export_student', '{config} gone.pth', MISSING_CHECKPOINT),
    ('export_student', '{config} {file} --onnx a.onnx --verify gone', 'error: --verify names gone'),
    ('list_layers', 'gone.py', MISSING_CONFIG),
    ('list_layers', '{config} gone.py', MISSING_CONFIG),
    ('predict', 'gone.pth {file}', MISSING_CHECKPOINT),
    ('predict', 'gone.onnx {file}', 'error: there is no model '),
    ('predict', '{model} gone.jpg', 'error: there is no image '),
    ('precompute_teacher', 'gone.py', MISSING_CONFIG),
    ('prepare_voc', '--check gone', 'error: '),
    ('report', 'gone', 'error: there is no work dir '),
    ('run_table', 'gone.py', MISSING_CONFIG),
    ('run_table', '{config} --teacher gone.py', MISSING_CONFIG),
    ('suggest_weight', 'gone.py', MISSING_CONFIG),
    ('suggest_weight', 'nst_det::gone.py', 'error: nst_det ships no config '),
    ('test', 'gone.py {file}', MISSING_CONFIG),
    ('test', '{config} gone.pth', MISSING_CHECKPOINT),
    ('train', 'gone.py', MISSING_CONFIG),
    ('train', '{config} --resume gone.pth', MISSING_CHECKPOINT),
    ('train', '{config} --trust-pickled-checkpoint gone.pth', 'error: --trust-pickled-checkpoint '),
    ('visualize_nst', 'gone.py {file} {file}', MISSING_CONFIG),
    ('visualize_nst', '{config} gone.pth {file}', MISSING_CHECKPOINT),
    ('visualize_nst', '{config} {file} {file} --before gone.pth', MISSING_CHECKPOINT),
    ('visualize_nst', '{config} {file} gone.jpg', 'error: there is no image '),
]
WITHOUT_INPUT_FILES = {'demo', 'make_shapes_voc'}


@pytest.fixture
def observe(tmp_path, monkeypatch):
    """``observe(script, *arguments)`` gives the status, both outputs, and the heavy imports."""
    monkeypatch.chdir(tmp_path)

    def call(script: Path, *arguments: str):
        done = subprocess.run(
            [sys.executable, '-c', OBSERVE, str(script), *arguments], capture_output=True, text=True
        )
        heavy = HEAVY & set(Path('imported.txt').read_text().split())
        return done.returncode, done.stdout, done.stderr, heavy

    return call


@pytest.mark.parametrize('name', NAMES)
def test_help_says_what_a_tool_does_without_importing_torch(observe, name):
    status, out, err, heavy = observe(TOOLS / f'{name}.py', '--help')
    assert status == 0, err
    assert out.startswith(f'usage: {name}.py ')
    assert not heavy


@pytest.mark.parametrize('name', NAMES)
def test_a_mistyped_option_is_refused_without_importing_torch(observe, name):
    status, _, err, heavy = observe(TOOLS / f'{name}.py', 'a', 'b', 'c', '--optoin')
    assert status == 2
    assert f'{name}.py: error: ' in err
    assert not heavy


@pytest.mark.parametrize(('name', 'arguments', 'message'), MISSING)
def test_a_missing_file_is_one_line_without_importing_torch(
    observe, tmp_path, name, arguments, message
):
    for file in ('file.jpg', 'file.pth'):
        (tmp_path / file).touch()
    given = arguments.format(config=CONFIG, file='file.jpg', model='file.pth').split()
    status, _, err, heavy = observe(TOOLS / f'{name}.py', *given)
    assert status == 2
    assert err.startswith(message)
    assert 'gone' in err
    assert len(err.splitlines()) == 1
    assert not heavy


def test_every_tool_that_reads_files_is_told_of_a_missing_one():
    assert {name for name, *_ in MISSING} == set(NAMES) - WITHOUT_INPUT_FILES


@pytest.mark.parametrize(
    ('arguments', 'status', 'answer'),
    [
        ([], 0, 'usage: nst_det TOOL'),
        (['--help'], 0, 'usage: nst_det TOOL'),
        (['trian'], 2, "there is no tool 'trian': did you mean 'train'?"),
        (['train', '--help'], 0, 'usage: train.py '),
        (['train', 'gone.py'], 2, 'error: there is no config file '),
    ],
)
@pytest.mark.parametrize('module', ['nst_det_tool', 'nst_det'])
def test_the_command_nst_det_answers_without_importing_torch(
    tmp_path, monkeypatch, module, arguments, status, answer
):
    monkeypatch.chdir(tmp_path)
    if module == 'nst_det':
        command = ['-X', 'importtime', '-m', 'nst_det']
    else:
        command = ['-X', 'importtime', '-c', 'from nst_det_tool import main; main()']
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    done = subprocess.run(
        [sys.executable, *command, *arguments], capture_output=True, text=True, env=environment
    )
    imported = {line.split('|')[-1].strip() for line in done.stderr.splitlines() if '|' in line}
    assert done.returncode == status, done.stderr
    assert answer in done.stdout + done.stderr
    assert 'argparse' in imported
    assert not imported & HEAVY


SPAWN = """
import multiprocessing, sys
import nst_det_tool

def registered():
    import nst_det.errors
    from mmdet.registry import MODELS
    print('NSTDistiller' in MODELS.module_dict)

def parse_args():
    import nst_det.errors
    print('torch' in sys.modules, flush=True)
    process = multiprocessing.get_context('spawn').Process(target=registered)
    process.start()
    process.join()
    sys.exit(process.exitcode)

if __name__ == '__main__':
    nst_det_tool.run(parse_args, print)
"""


def test_a_tool_imports_no_torch_and_a_process_that_it_spawns_registers_at_once(tmp_path):
    (tmp_path / 'tool.py').write_text(SPAWN)
    done = subprocess.run(
        [sys.executable, 'tool.py'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
    )
    assert done.stdout == 'False\nTrue\n', done.stderr
