"""Every road by which the tools come to a checkpoint reads it as it is published."""

from pathlib import Path

import pytest
import torch
from distinct_detections import make_detections_distinct
from mmdet.registry import MODELS

from nst_det.apis.compare_students import compare_students
from nst_det.fileio.predictions import read_predictions


@pytest.fixture
def weights(tiny_config):
    """The weights of a plain student."""
    torch.manual_seed(5)
    detector = MODELS.build(tiny_config('student').model)
    make_detections_distinct(detector)
    return detector.state_dict()


def published(weights):
    """A file such as the model zoo has, with means of another training and mmdet 2's EMA."""
    return dict(
        state_dict={
            'data_preprocessor.mean': torch.tensor([104.0, 117.0, 123.0])[:, None, None],
            **{f'module.{key}': value for key, value in weights.items()},
            **{f'ema_{key.replace(".", "_")}': value for key, value in weights.items()},
        },
        optimizer=dict(state={}),
    )


def two_detectors(weights):
    """A file of a semi-supervised training."""
    return dict(
        model={
            **{f'student.{key}': torch.zeros_like(value) for key, value in weights.items()},
            **{f'teacher.{key}': value for key, value in weights.items()},
        }
    )


KINDS = {'published': (published, None), 'semi-supervised': (two_detectors, 'teacher.')}


@pytest.fixture(params=KINDS)
def file(request, weights, tmp_path):
    """The path of a file, and the prefix that it needs."""
    make, prefix = KINDS[request.param]
    torch.save(make(weights), tmp_path / 'published.pth')
    return str(tmp_path / 'published.pth'), prefix


def options(name, prefix):
    return [] if prefix is None else [name, prefix]


def equal(path, weights):
    found = torch.load(path)['state_dict']
    return found.keys() == weights.keys() and all(
        torch.equal(found[key], value) for key, value in weights.items()
    )


def test_testing_reads_it(tool, write, tiny_config, weights, file, tmp_path):
    cfg = write(tiny_config('student'))
    torch.save(dict(state_dict=weights), 'plain.pth')
    scores = []
    for name, (path, prefix) in {'plain': ('plain.pth', None), 'published': file}.items():
        arguments = [cfg, path, *options('--prefix', prefix), '--out', f'{name}.pkl']
        status, _, err = tool('test', *arguments)
        assert status == 0, err
        predictions = read_predictions(Path(f'{name}.pkl'))
        scores.append(torch.cat([image['scores'] for image in predictions.values()]))
    assert len(scores[0]) and torch.equal(*scores)


def test_a_training_starts_from_it(tool, write, tiny_config, weights, file):
    path, prefix = file
    cfg = tiny_config('student', load_from=path)
    cfg.optim_wrapper.optimizer.lr = 0.0
    cfg.model.backbone.norm_eval = cfg.model.roi_head.shared_head.norm_eval = True
    cfg.custom_hooks.append(dict(type='EMAHook'))  # it reads the checkpoint as well
    if prefix:
        cfg.load_from_prefix = prefix
    short = ['--cfg-options', 'train_cfg.max_epochs=1', 'train_cfg.val_interval=2']
    status, _, err = tool('train', write(cfg), '--work-dir', 'run', *short)
    assert status == 0, err
    assert equal('run/epoch_1.pth', weights)


def test_a_teacher_is_read_from_it(tiny_distiller, tiny_config, weights, file):
    path, prefix = file
    cfg = tiny_distiller()
    cfg.model.teacher = dict(config=tiny_config('student').model, checkpoint=path, prefix=prefix)
    teacher = MODELS.build(cfg.model).open_teacher().detector
    assert all(torch.equal(teacher.state_dict()[key], value) for key, value in weights.items())


def test_add_nst_writes_a_config_that_reads_it(tool, write, tiny_config, file, monkeypatch):
    config, (path, prefix) = write(tiny_config('student')), file
    status, out, err = tool(
        *('add_nst', config, '--teacher', config, '--teacher-checkpoint', path),
        *(*options('--teacher-prefix', prefix), '-o', 'nst.py'),
    )
    assert status == 0, err
    assert f'All weights of the teacher are in {path}' in out
    assert (f'prefix={prefix!r}' in Path('nst.py').read_text()) == bool(prefix)


def test_export_writes_a_plain_checkpoint_of_it(tool, write, tiny_distiller, weights, file):
    path, prefix = file
    status, _, err = tool(
        *('export_student', write(tiny_distiller()), path, *options('--prefix', prefix)),
        *('-o', 'plain.pth', '--repeats', 0),
    )
    assert status == 0, err
    assert equal('plain.pth', weights)


def test_the_figures_of_the_report_are_drawn_from_it(tiny_distiller, shapes, file):
    path, prefix = file
    image = min((shapes / 'VOC2007' / 'JPEGImages').glob('*.jpg'))
    assert list(compare_students(tiny_distiller(), path, None, [str(image)], prefix=prefix))


def test_a_training_resumes_a_checkpoint_with_means_in_it(tool, write, tiny_config):
    config = write(tiny_config('student'))
    short = ['--cfg-options', 'train_cfg.max_epochs=1', 'train_cfg.val_interval=1']
    assert tool('train', config, '--work-dir', 'run', *short)[0] == 0
    checkpoint = torch.load('run/epoch_1.pth')
    checkpoint['state_dict']['data_preprocessor.mean'] = torch.zeros(3)
    torch.save(checkpoint, 'run/epoch_1.pth')
    status, _, err = tool('train', config, '--work-dir', 'run', '--resume')
    assert status == 0, err
    assert torch.load('run/epoch_2.pth')['meta']['epoch'] == 2


def test_two_detectors_without_a_prefix_are_one_line(tool, write, tiny_config, weights, tmp_path):
    torch.save(two_detectors(weights), tmp_path / 'two.pth')
    status, _, err = tool('test', write(tiny_config('student')), 'two.pth')
    errors = [line for line in err.splitlines() if line.startswith('error: ')]
    assert status == 2 and len(errors) == 1
    assert "under 'student.' and 'teacher.'" in errors[0] and '--prefix student.' in errors[0]
