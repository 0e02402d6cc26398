"""The rows of the paper's tables of classification, trained on small files of the exact formats."""

import pytest
from locations import CONFIGS
from mmengine.runner import Runner
from small_classification import WORDNET_IDS, write_cifar10, write_cifar100, write_imagenet
from torchvision.datasets import CIFAR10, CIFAR100

from nst_det.experiments import read_rows

pytest.importorskip('mmpretrain', reason='no mmpretrain, whose classifiers are distilled')


@pytest.fixture
def small(tmp_path, take_for_genuine):
    """``small('cifar10', row)`` gives the config of a row, with data and slim networks."""

    def make(name: str, row: str):
        cfg = read_rows([str(CONFIGS / f'tables/table_{name}.py')], [row])[row]
        data_root = str(tmp_path / 'data')
        for split in ('train', 'val', 'test'):
            loader = cfg[f'{split}_dataloader']
            loader.update(batch_size=4, num_workers=0, persistent_workers=False)
            loader.dataset.data_root = data_root
        student = cfg.model.get('student', cfg.model)
        student.backbone.width = 0.125
        if name == 'imagenet':
            write_imagenet(tmp_path / 'data')
            for split in ('train', 'val', 'test'):
                cfg[f'{split}_dataloader'].dataset.metainfo = dict(classes=WORDNET_IDS)
            cfg.train_dataloader.dataset.pipeline[1].scale = 32
            cfg.test_evaluator.topk = cfg.val_evaluator.topk = (1, 3)
            student.head.in_channels = 136
            student.head.num_classes = 3
            backbone = dict(type='ResNet', depth=50, base_channels=8)
            channels = 256
        else:
            write, reader = dict(
                cifar10=(write_cifar10, CIFAR10), cifar100=(write_cifar100, CIFAR100)
            )[name]
            write(tmp_path / 'data')
            take_for_genuine(reader, tmp_path / 'data')
            student.head.in_channels = 48
            backbone = dict(type='PreActivationResNet', depth=11, base_channels=4, with_cp=True)
            channels = 64
        if 'teacher' in cfg.model:
            teacher = student.to_dict() | dict(
                backbone=backbone, head=dict(student.head, in_channels=channels)
            )
            cfg.model.teacher = dict(config=teacher, checkpoint='random')
        cfg.train_cfg.max_epochs = cfg.train_cfg.val_interval = 1
        cfg.log_level = 'ERROR'
        cfg.work_dir = str(tmp_path / 'work_dir')
        cfg.experiment_name = f'{name}_{row}'
        return cfg

    return make


@pytest.mark.parametrize('name', ['cifar10', 'cifar100', 'imagenet'])
def test_a_row_trains_and_is_tested_on_files_of_the_exact_format(small, name):
    runner = Runner.from_cfg(small(name, 'kd_nst'))
    runner.train()
    history = runner.message_hub.log_scalars
    assert history['train/loss_kd'].current() >= 0
    assert history['train/mmd2_backbone_inception_5b'].current() > 0
    assert 0 <= history['val/top1_error'].current() <= 1
    assert set(runner.test()) == {'top1_error', *(['top3_error'] if name == 'imagenet' else [])}
