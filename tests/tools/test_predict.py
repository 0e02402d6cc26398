"""Detecting in images, with a checkpoint and with exported models, also where torch is not."""

import json
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
import torch
from distinct_detections import make_detections_distinct
from locations import ROOT
from PIL import Image

from nst_det.apis.build import build_detector
from nst_det.apis.export_onnx import make_onnx
from nst_det.apis.export_student import StudentFiles, write_student
from nst_det.config.plain import plain_config

# What `pip install nst_det[runtime]` brings, and what these need themselves.
RUNTIME = ('numpy', 'numpy.libs', 'PIL', 'pillow.libs', 'onnxruntime')


@pytest.fixture(scope='module')
def exported(tiny_configs, tmp_path_factory):
    """A folder with a student's checkpoint and its ONNX file."""
    folder = tmp_path_factory.mktemp('exported')
    plain = plain_config(tiny_configs(folder, 'student'))
    torch.manual_seed(5)
    student = build_detector(plain)
    make_detections_distinct(student)
    student.eval()
    meta = write_student(student, plain, {}, StudentFiles(folder / 'student.pth'))
    model = make_onnx(student, plain, meta['dataset_meta']['classes'])
    (folder / 'student.onnx').write_bytes(model.content)
    return folder


def images(shapes):
    return sorted((shapes / 'VOC2007' / 'JPEGImages').glob('*.jpg'))[:3]


def detections(file):
    content = json.loads(Path(file).read_text())
    return [
        (one['image_id'], one['category_id'], *np.round([*one['bbox'], one['score']], 2))
        for one in content['annotations']
    ]


def test_the_checkpoint_and_the_onnx_file_detect_the_same(exported, shapes, tool):
    for model in ('student.pth', 'student.onnx'):
        options = ['--json', f'{model}.json', '--csv', f'{model}.csv', '--score-thr', 0.05]
        status, _, err = tool('predict', exported / model, *images(shapes), *options)
        assert status == 0, err
    found, given = (np.array(detections(f'student.{end}.json')) for end in ('pth', 'onnx'))
    assert len(found) > 3
    # Where scores are nearly equal, the order may differ, and which one is the last that is kept.
    distances = np.abs(found[:, None] - given).max(2)
    assert len(given) == len(found)
    assert (distances.min(0) < 0.02).mean() > 0.95
    assert (distances.min(1) < 0.02).mean() > 0.95
    assert Path('student.onnx.csv').read_text().count('\n') == len(found) + 1


def test_pictures_of_a_folder_are_written(exported, shapes, tool):
    folder = shapes / 'VOC2007' / 'JPEGImages'
    status, _, err = tool('predict', exported / 'student.onnx', folder, '-o', 'pictures')
    assert status == 0, err
    pictures = sorted(Path('pictures').iterdir())
    assert len(pictures) == len(list(folder.glob('*.jpg')))
    assert Image.open(pictures[0]).size == (64, 64)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['gone.onnx', '{image}'], 'there is no model'),
        (['gone.pth', '{image}'], 'does not exist'),
        (['{model}', 'gone.jpg'], 'there is no image'),
        (['{model}', '{image}', '--score-thr', '2'], '--score-thr is 2.0'),
        (['{model}', '{image}', '--batch-size', '0'], '--batch-size'),
        (['{model}', '{image}', '--config', 'x.py'], '--config is for checkpoints'),
        (['{image}', '{model}'], 'an image: the model comes first'),
        (['{model}', '{image}', '--json', 'x', '--csv', 'x'], 'has a value twice: x x'),
    ],
)
def test_a_mistake_is_one_clear_line(exported, shapes, tool, arguments, message):
    names = dict(model=exported / 'student.onnx', image=images(shapes)[0])
    status, _, err = tool('predict', *(text.format(**names) for text in arguments))
    assert status == 2
    assert message in err.splitlines()[-1]


@pytest.mark.parametrize('model', ['student.onnx', 'student.pth'])
def test_a_damaged_image_among_others_is_left_out_and_told_by_the_exit_status(
    exported, shapes, tool, tmp_path, model
):
    first, second = images(shapes)[:2]
    damaged = tmp_path / 'damaged.jpg'
    damaged.write_bytes(first.read_bytes()[:300])
    outputs = ['--json', 'found.json', '-o', 'pictures']
    status, out, err = tool('predict', exported / model, first, damaged, second, *outputs)
    assert status == 2
    assert 'damaged.jpg cannot be read as an image' in err
    assert '1 of 3 images were left out' in err.splitlines()[-1]
    assert [line.split(':')[0] for line in out.splitlines()][:2] == [str(first), str(second)]
    names = [image['file_name'] for image in json.loads(Path('found.json').read_text())['images']]
    assert names == [str(first), str(second)]
    assert len(list(Path('pictures').iterdir())) == 2


def test_an_image_without_a_suffix_becomes_a_png(exported, shapes, tool, tmp_path):
    shutil.copy(images(shapes)[0], tmp_path / 'image')
    status, _, err = tool('predict', exported / 'student.onnx', tmp_path / 'image', '-o', 'out')
    assert status == 0, err
    assert Image.open('out/0001_image.png').size == (64, 64)


def test_the_config_in_a_checkpoint_is_not_run(tmp_path, shapes, tool):
    ran = tmp_path / 'ran'
    meta = dict(cfg=f'model = dict(type=open({str(ran)!r}, "w"))')
    torch.save(dict(state_dict=dict(x=torch.zeros(1)), meta=meta), tmp_path / 'foreign.pth')
    status, _, err = tool('predict', tmp_path / 'foreign.pth', images(shapes)[0])
    assert status == 2
    assert 'is not made of plain values' in err
    assert not ran.exists()


@pytest.fixture(scope='module')
def bare(tmp_path_factory):
    """A folder that holds only what the extra ``runtime`` brings."""
    pytest.importorskip('onnxruntime', reason='ONNX Runtime is not installed')
    folder = tmp_path_factory.mktemp('bare')
    installed = Path(sysconfig.get_paths()['purelib'])
    for name in RUNTIME:
        if (installed / name).exists():
            (folder / name).symlink_to(installed / name)
    (folder / 'nst_det').symlink_to(ROOT / 'nst_det')
    shutil.copy(ROOT / 'nst_det_tool.py', folder)
    return folder


def run_bare(bare, script):
    # -S leaves out all that is installed, and -I the folder and the environment.
    code = f'import sys; sys.path.insert(0, {str(bare)!r}); {script}'
    return subprocess.run(
        [sys.executable, '-I', '-S', '-c', code], capture_output=True, text=True, check=False
    )


def test_without_torch_the_onnx_file_detects_the_same(bare, exported, shapes, tool, tmp_path):
    assert run_bare(bare, 'import torch').returncode == 1
    options = [str(exported / 'student.onnx'), *map(str, images(shapes)), '--json']
    done = run_bare(
        bare,
        f'sys.argv = ["nst_det", "predict", *{[*options, str(tmp_path / "bare.json")]}]; '
        'import nst_det_tool; nst_det_tool.main()',
    )
    assert done.returncode == 0, done.stderr
    status, _, err = tool('predict', *options, 'full.json')
    assert status == 0, err
    assert detections(tmp_path / 'bare.json') == detections('full.json')


def test_without_torch_importing_takes_less_than_half_a_second(bare):
    script = (
        'import time; before = time.process_time(); import nst_det; '
        'from nst_det.runtime import detections, output, session; '
        'print(time.process_time() - before, [name for name in sys.modules if "torch" in name])'
    )
    done = run_bare(bare, script)
    assert done.returncode == 0, done.stderr
    seconds, modules = done.stdout.split(maxsplit=1)
    assert float(seconds) < 0.5
    assert modules.strip() == '[]'


def test_without_torch_a_checkpoint_says_what_to_install(bare, exported, shapes):
    arguments = [str(exported / 'student.pth'), str(images(shapes)[0])]
    done = run_bare(
        bare,
        f'sys.argv = ["nst_det", "predict", *{arguments}]; import nst_det_tool; '
        'nst_det_tool.main()',
    )
    assert done.returncode == 2
    assert done.stderr.startswith('error: nst_det needs torch, torchvision')
