"""The two tools, from a config to a VOC table, and what they say to a user's mistakes."""

import json
import pickle
import runpy
import shutil
import sys
from pathlib import Path

import pytest
import torch
from locations import CONFIGS, DEMO, MMDET_TOOLS
from mmdet.registry import MODELS

from nst_det.config.load import load_config


@pytest.fixture
def checkpoint(tiny_config, tmp_path):
    """Random weights of the plain student."""
    file = tmp_path / 'student.pth'
    torch.save(dict(state_dict=MODELS.build(tiny_config('student').model).state_dict()), file)
    return file


def fails(result):
    """The one line of a tool that ended with a user's mistake."""
    status, _, err = result
    assert status == 2
    lines = [line for line in err.splitlines() if line.startswith('error: ')]
    assert len(lines) == 1
    assert 'Traceback' not in err
    return lines[0]


def test_train_then_test_reports_voc_map(tool, write, tiny_distiller):
    config = write(tiny_distiller(log_level='INFO'))
    assert tool('train', config, '--work-dir', 'run')[0] == 0
    assert {path.name for path in Path('run').glob('*.pth')} == {'epoch_1.pth', 'epoch_2.pth'}
    options = ['--work-dir', 'tested', '--out', 'results.pkl', '--show-dir', 'shown']
    status, out, err = tool('test', config, 'run/epoch_2.pth', *options)
    assert status == 0
    for name in ('circle', 'square', 'triangle', 'star', 'mAP'):
        assert f'| {name}' in out + err
    metrics = json.loads(next(Path('tested').glob('*/*.json')).read_text())
    assert 0 <= metrics['pascal_voc/mAP'] <= 1
    assert len(pickle.loads(Path('results.pkl').read_bytes())) == 4
    assert len(list(Path('tested').glob('*/shown/*.jpg'))) == 4


def test_a_distillers_and_the_plain_students_config_test_alike(
    tool, write, tiny_config, tiny_distiller, checkpoint
):
    scores = []
    for name, cfg in [('plain.py', tiny_config('student')), ('nst.py', tiny_distiller())]:
        cfg.model.get('teacher', {}).pop('checkpoint', None)
        if 'teacher' in cfg.model:
            cfg.model.teacher.checkpoint = 'not/on/this/machine.pth'
        config = write(cfg, name)
        assert tool('test', config, checkpoint, '--work-dir', config.stem)[0] == 0
        scores.append(json.loads(next(Path(config.stem).glob('*/*.json')).read_text()))
    assert scores[0]['pascal_voc/mAP'] == scores[1]['pascal_voc/mAP']


def test_testing_with_flips(tool, write, tiny_distiller, checkpoint):
    assert tool('test', write(tiny_distiller()), checkpoint, '--tta')[0] == 0


def test_resume_goes_on_from_the_latest_checkpoint(tool, write, tiny_distiller):
    cfg = tiny_distiller(log_level='INFO')
    config = write(cfg)
    short = ['--cfg-options', 'train_cfg.max_epochs=1', 'train_cfg.val_interval=1']
    assert tool('train', config, '--work-dir', 'run', *short)[0] == 0
    first = torch.load('run/epoch_1.pth')['state_dict']
    status, out, err = tool('train', config, '--work-dir', 'run', '--resume')
    assert status == 0
    assert 'resumed epoch: 1' in out + err
    assert torch.load('run/epoch_2.pth')['meta']['epoch'] == 2
    again = torch.load('run/epoch_1.pth')['state_dict']
    assert all(torch.equal(first[key], again[key]) for key in first)


@pytest.mark.parametrize('name', ['train', 'test'])
def test_mmdets_own_tools_run_our_configs(
    name, write, tiny_distiller, checkpoint, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    arguments = [write(tiny_distiller())] + [checkpoint] * (name == 'test')
    monkeypatch.setattr(sys, 'argv', [f'{name}.py', *map(str, arguments)])
    runpy.run_path(str(MMDET_TOOLS / f'{name}.py'), run_name='__main__')
    assert list(Path('.').rglob('epoch_2.pth' if name == 'train' else '*.json'))


# A user's mistakes: one line, exit status 2.


def test_a_missing_config(tool):
    assert 'there is no config file' in fails(tool('train', 'configs/nowhere.py'))


def test_a_missing_devkit(tool, write, tiny_distiller):
    cfg = tiny_distiller(**{'train_dataloader.dataset.data_root': 'no/devkit/'})
    line = fails(tool('train', write(cfg)))
    assert str(Path('no/devkit').absolute()) in line
    assert not list(Path('.').rglob('*epoch*.pth'))


def test_a_missing_teacher(tool, write, tiny_distiller):
    cfg = tiny_distiller(**{'model.teacher.checkpoint': 'no/teacher.pth'})
    assert 'no/teacher.pth does not exist' in fails(tool('train', write(cfg)))


def test_an_unknown_type_anywhere_in_the_config(tool, write, tiny_distiller):
    cfg = tiny_distiller(**{'model.student.backbone.type': 'InceptionBM'})
    assert "did you mean 'InceptionBN'" in fails(tool('train', write(cfg)))


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ('optim_wraper.optimizer.lr=1', "no 'optim_wraper': did you mean 'optim_wrapper'"),
        ('loss_weight=7', "'loss_weight' is a variable that only the config file reads"),
        ('model.student.roi_head.bbox_head.num_classes=3', 'num_classes'),
        ('model.transfers.7.layer=neck', '--cfg-options do not fit the config'),
        ('optim_wrapper.optimiser.lr=1', "gives OptimWrapper the option 'optimiser'"),
        ('model.teachr.config=x', "NSTDistiller has no option 'teachr': did you mean 'teacher'"),
        ('model.transfers.0.loss.kernel.type=Poly', "unknown kernel 'Poly': choose from"),
    ],
)
def test_a_wrong_option_for_the_config(tool, write, tiny_distiller, option, message):
    assert message in fails(tool('train', write(tiny_distiller()), '--cfg-options', option))


def test_an_option_without_a_value(tool, write, tiny_distiller):
    status, _, err = tool('train', write(tiny_distiller()), '--cfg-options', 'lr')
    assert status == 2
    assert "'lr' is not of the form key=value" in err


def test_resuming_from_what_is_not_there_or_of_another_architecture(
    tool, write, tiny_distiller, tiny_config, tmp_path
):
    config = write(tiny_distiller())
    assert 'does not exist' in fails(tool('train', config, '--resume', 'gone.pth'))
    other = MODELS.build(load_config(str(DEMO['teacher'])).model).state_dict()
    training = dict(optimizer={}, message_hub={}, meta=dict(epoch=1, iter=2))
    torch.save(dict(training, state_dict=other), tmp_path / 'b.pth')
    assert 'another architecture' in fails(tool('train', config, '--resume', 'b.pth'))


def test_weights_alone_are_nothing_to_resume(tool, write, tiny_distiller, checkpoint):
    line = fails(tool('train', write(tiny_distiller()), '--resume', checkpoint))
    assert 'holds only weights, so no training can be resumed' in line


def test_starting_from_weights_that_hardly_fit(tool, write, tiny_distiller):
    wide = load_config(str(DEMO['teacher'])).model
    torch.save(MODELS.build(wide).state_dict(), 'wide.pth')
    line = fails(tool('train', write(tiny_distiller()), '--cfg-options', 'load_from=wide.pth'))
    assert 'is of another architecture' in line


def test_a_work_dir_that_holds_a_training_is_not_written_over(tool, write, tiny_distiller):
    config = write(tiny_distiller())
    assert tool('train', config, '--work-dir', 'run')[0] == 0
    before = Path('run/epoch_2.pth').read_bytes()
    assert 'run holds a training already' in fails(tool('train', config, '--work-dir', 'run'))
    assert Path('run/epoch_2.pth').read_bytes() == before


def test_options_that_mmengine_reads_beside_the_runners_own(tool, write, tiny_distiller):
    options = ['find_unused_parameters=True', 'sync_bn=torch', 'train_dataloader.num_workers=0']
    assert tool('train', write(tiny_distiller()), '--cfg-options', *options)[0] == 0


def test_a_launcher_without_its_processes(tool, write, tiny_distiller, monkeypatch):
    monkeypatch.delenv('RANK', raising=False)
    line = fails(tool('train', write(tiny_distiller()), '--launcher', 'pytorch'))
    assert 'torchrun' in line


def test_a_folder_as_config(tool, tmp_path):
    assert 'is a folder, expected a config file' in fails(tool('train', tmp_path))


def test_a_work_dir_that_cannot_be(tool, write, tiny_distiller):
    Path('taken').write_text('a file')
    assert 'taken' in fails(tool('train', write(tiny_distiller()), '--work-dir', 'taken'))


def test_a_checkpoint_of_another_architecture(tool, write, tiny_distiller, tmp_path):
    wide = MODELS.build(load_config(str(DEMO['teacher'])).model)
    torch.save(wide.state_dict(), tmp_path / 'b.pth')
    assert 'another architecture' in fails(tool('test', write(tiny_distiller()), 'b.pth'))


def test_a_checkpoint_that_is_none(tool, write, tiny_distiller):
    config = write(tiny_distiller())
    assert 'cannot be read as a checkpoint' in fails(tool('test', config, config))
    assert 'does not exist' in fails(tool('test', config, 'gone.pth'))


@pytest.mark.parametrize('workers', [0, 1])
def test_a_truncated_image_is_named_even_out_of_a_worker(
    tool, write, tiny_distiller, shapes, workers
):
    root = shutil.copytree(shapes, 'devkit')
    for image in Path(root, 'VOC2007/JPEGImages').glob('*.jpg'):
        image.write_bytes(image.read_bytes()[:-200])
    cfg = tiny_distiller(
        **{
            'train_dataloader.dataset.data_root': 'devkit/',
            'train_dataloader.num_workers': workers,
        }
    )
    line = fails(tool('train', write(cfg)))
    assert 'devkit/VOC2007/JPEGImages/' in line
    assert 'truncated' in line


def test_a_malformed_annotation_is_named(tool, write, tiny_distiller, shapes):
    root = shutil.copytree(shapes, 'devkit')
    broken = min(Path(root, 'VOC2007/Annotations').glob('*.xml'))
    broken.write_text('<annotation><size>')
    cfg = tiny_distiller(**{'train_dataloader.dataset.data_root': 'devkit/'})
    assert broken.name in fails(tool('train', write(cfg)))


def test_a_loss_that_is_no_number(tool, write, tiny_distiller):
    cfg = tiny_distiller(
        **{
            'optim_wrapper.optimizer.lr': 1e30,
            'optim_wrapper.clip_grad': None,
            'param_scheduler': [],
        }
    )
    assert 'loss not finite at iteration' in fails(tool('train', write(cfg), '--work-dir', 'run'))
    assert not list(Path('run').glob('*.pth'))


@pytest.mark.parametrize(
    ('option', 'value', 'said'),
    [
        ('model', 5, 'model is 5, expected a dict'),
        ('train_dataloader', 'x', "train_dataloader is 'x', expected a dict"),
        ('train_cfg', [1], 'train_cfg is [1], expected a dict'),
        ('param_scheduler', 'x', "param_scheduler is 'x', expected a dict or a list"),
        ('randomness', None, 'randomness is None, expected a dict'),
        ('resume', 'x', "resume is 'x', expected a bool"),
        ('load_from', 3, 'load_from is 3, expected a str'),
        ('custom_hooks', {}, 'custom_hooks is {}, expected a list'),
        ('model', dict(a=1), "a part of the config has no type: {'a': 1}"),
    ],
)
def test_an_option_of_another_kind(tool, write, tiny_config, option, value, said):
    cfg = tiny_config('student')
    cfg[option] = value
    assert fails(tool('train', write(cfg))) == f'error: {said}'


def test_a_config_without_a_model(tool, tmp_path):
    (tmp_path / 'empty.py').write_text('')
    assert 'the config has no model' in fails(tool('train', 'empty.py'))


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_amp_without_a_gpu(tool, write, tiny_distiller):
    assert '--amp needs a GPU' in fails(tool('train', write(tiny_distiller()), '--amp'))


def test_predictions_into_a_file_that_is_no_pickle(tool, write, tiny_distiller):
    assert '--out is x.txt' in fails(
        tool('test', write(tiny_distiller()), 'c.pth', '--out', 'x.txt')
    )


def test_predictions_as_cocos_json(tool, write, tiny_config, checkpoint):
    config = write(tiny_config('student'))
    assert tool('test', config, checkpoint, '--out', 'found.json', '--format', 'coco')[0] == 0
    truth = json.loads(Path('found_truth.json').read_text())
    images = {image['id'] for image in truth['images']}
    found = json.loads(Path('found.json').read_text())
    assert len(images) == 4 and {result['image_id'] for result in found} <= images


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--format', 'coco'], '--format coco needs --out FILE'),
        (['--format', 'coco', '--out', 'x.pkl'], 'expected the name of a .json file'),
        (['--format', 'pkl', '--out', 'x.json'], 'expected the name of a .pkl file'),
    ],
)
def test_a_format_and_a_file_that_do_not_fit(tool, write, tiny_distiller, options, message):
    assert message in fails(tool('test', write(tiny_distiller()), 'c.pth', *options))


@pytest.mark.parametrize(
    ('config', 'line'),
    [
        ('small-inception-bn_164e_cifar10', 'CIFAR-10: data/cifar10/cifar-10-batches-py/data_ba'),
        ('small-inception-bn_164e_cifar100', 'CIFAR-100: data/cifar100/cifar-100-python/train is'),
        ('inception-bn_100e_imagenet', 'ImageNet: there is no folder data/imagenet/train: put'),
    ],
)
def test_missing_data_of_a_classifier_is_one_line(tool, config, line):
    pytest.importorskip('mmpretrain', reason='no mmpretrain, whose classifiers are trained')
    found = fails(tool('train', CONFIGS / f'classification/{config}.py'))
    assert found.startswith(f'error: {line}')
