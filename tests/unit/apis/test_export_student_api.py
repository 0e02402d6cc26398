"""The exported student, loaded the way that mmdet's users load a detector."""

import runpy
import sys
from pathlib import Path

import pytest
import torch
from locations import MMDET_TOOLS
from mmdet.apis import DetInferencer, inference_detector
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.runner import Runner

from nst_det.apis.export_student import StudentFiles, load_student, write_student
from nst_det.config.plain import plain_config
from nst_det.errors import UserError
from nst_det.fileio.fit import load_strictly
from nst_det.models.layers.fold_batch_norm import fuse_batch_norms


@pytest.fixture
def export(tmp_path):
    """``export(cfg, checkpoint, fuse)`` gives the files."""

    def write(cfg, checkpoint, fuse=False):
        files = StudentFiles(tmp_path / 'student.pth')
        plain = plain_config(cfg)
        student, meta = load_student(plain, checkpoint)
        if fuse:
            fuse_batch_norms(student)
        write_student(student, plain, meta, files)
        return files

    return write


@pytest.fixture
def image(shapes):
    return str(min((shapes / 'VOC2007' / 'JPEGImages').glob('*.jpg')))


@pytest.fixture
def expected(image):
    """``expected(cfg, checkpoint)``: what the distiller detects."""

    def detect(cfg, checkpoint):
        distiller = MODELS.build(cfg.model).eval()
        load_strictly(distiller, checkpoint, 'student')
        distiller.cfg = cfg
        return inference_detector(distiller, image).pred_instances

    return detect


@pytest.mark.parametrize('fuse', [False, True])
def test_the_inferencer_detects_the_same_as_the_distiller(distilled, export, expected, image, fuse):
    cfg, checkpoint = distilled()
    files = export(cfg, checkpoint, fuse)
    inferencer = DetInferencer(str(files.config), str(files.checkpoint), device='cpu')
    assert inferencer.visualizer.dataset_meta['classes'] == ('circle', 'square', 'triangle', 'star')
    found = inferencer(image, return_datasamples=True, no_save_vis=True)['predictions'][0]
    found, wanted = found.pred_instances, expected(cfg, checkpoint)
    assert len(wanted) > 5
    assert found.labels.tolist() == wanted.labels.tolist()
    close = dict(rtol=0, atol=1e-3) if fuse else dict(rtol=0, atol=0)
    torch.testing.assert_close(found.bboxes, wanted.bboxes, **close)
    torch.testing.assert_close(found.scores, wanted.scores, **close)


def test_mmdets_own_test_tool_runs_with_the_two_files(distilled, export, monkeypatch, tmp_path):
    files = export(*distilled())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', ['test.py', str(files.config), str(files.checkpoint)])
    runpy.run_path(str(MMDET_TOOLS / 'test.py'), run_name='__main__')
    assert list(Path('work_dirs').rglob('*.json'))


def test_the_checkpoint_holds_the_plain_weights_and_their_origin(distilled, export):
    cfg, trained = distilled()
    checkpoint = torch.load(export(cfg, trained).checkpoint)
    assert set(checkpoint) == {'meta', 'state_dict'}
    meta = checkpoint['meta']
    assert (meta['epoch'], meta['nst_det_version'].count('.')) == (2, 2)
    assert Config.fromstring(meta['cfg'], '.py').model.type == 'FasterRCNN'
    plain = MODELS.build(cfg.model.student)
    assert list(checkpoint['state_dict']) == list(plain.state_dict())


def test_the_averaged_weights_of_a_training_with_ema_are_exported(tiny_distiller, export):
    cfg = tiny_distiller(train_cfg=dict(max_epochs=1))
    cfg.custom_hooks.append(dict(type='EMAHook', momentum=0.3, update_buffers=True))
    runner = Runner.from_cfg(cfg)
    runner.train()
    trained = f'{cfg.work_dir}/epoch_1.pth'
    (ema_hook,) = (hook for hook in runner.hooks if type(hook).__name__ == 'EMAHook')
    averaged = ema_hook.ema_model.module.state_dict()
    given = torch.load(export(cfg, trained).checkpoint)['state_dict']
    current = runner.model.state_dict()
    key = 'roi_head.bbox_head.fc_cls.weight'
    assert not torch.equal(averaged[key], current[key])
    assert all(torch.equal(given[key], averaged[key]) for key in given)


@pytest.mark.parametrize('there', ['student.pth', 'student.py'])
def test_an_existing_file_is_not_overwritten(tmp_path, there):
    (tmp_path / there).write_text('mine')
    with pytest.raises(UserError, match=rf'{there} exists already: remove it, or choose another'):
        StudentFiles(tmp_path / 'student.pth')


def test_the_name_of_a_checkpoint_ends_in_pth():
    with pytest.raises(UserError, match=r'student\.pt, expected a \.pth file'):
        StudentFiles(Path('student.pt'))
