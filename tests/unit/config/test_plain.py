"""The config of the plain student."""

import subprocess
import sys

from locations import DEMO
from mmdet.registry import MODELS
from mmengine.config import Config

from nst_det.config.load import load_config
from nst_det.config.plain import plain_config


def test_it_is_the_student_without_a_teacher():
    cfg = load_config('nst_det::faster_rcnn_nst_voc.py')
    plain = plain_config(cfg)
    assert plain.model.type == 'FasterRCNN'
    assert plain.test_dataloader.dataset.type == 'VOCDevkitDataset'
    assert 'teacher' not in plain.pretty_text
    assert cfg.model.type == 'NSTDistiller'


def test_images_are_loaded_without_the_loader_of_nst_det():
    plain = plain_config(load_config('nst_det::faster_rcnn_nst_voc.py'))
    assert plain.test_dataloader.dataset.pipeline[0].type == 'LoadImageFromFile'


def test_a_student_of_parts_of_nst_det_keeps_the_import():
    plain = plain_config(load_config(str(DEMO['nst_student'])))
    assert plain.custom_imports.imports == ['nst_det']


def test_a_student_of_parts_of_mmdet_needs_no_nst_det(tmp_path):
    file = tmp_path / 'nst.py'
    file.write_text(
        "_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'\n"
        "custom_imports = dict(imports=['nst_det'])\n"
        "custom_hooks = [dict(type='FiniteLossHook'), dict(type='NumClassCheckHook')]\n"
        'model = dict(_delete_=True, type="NSTDistiller", student=_base_.model, transfers=[],\n'
        '    teacher=dict(config=_base_.model, checkpoint="random"))\n'
    )
    plain = plain_config(load_config(str(file)))
    assert plain.custom_hooks == [dict(type='NumClassCheckHook')]
    plain.dump(tmp_path / 'plain.py')
    # Where nst_det cannot be imported, mmengine still reads it.
    script = (
        'import sys; sys.modules["nst_det"] = None\n'
        'from mmengine.config import Config\n'
        f'print(Config.fromfile({str(tmp_path / "plain.py")!r}).model.type)'
    )
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True)
    assert done.stdout == 'RetinaNet\n', done.stderr


def test_a_preprocessor_of_the_distiller_or_the_config_is_taken_over(tiny_config):
    model = tiny_config('student').model.to_dict()
    preprocessor = model.pop('data_preprocessor')
    distiller = dict(type='NSTDistiller', student=model, teacher={}, transfers=[])
    for cfg in (
        dict(model=dict(distiller, data_preprocessor=preprocessor)),
        dict(model=distiller, data_preprocessor=preprocessor),
    ):
        plain = plain_config(Config(cfg))
        assert plain.model.data_preprocessor == preprocessor
        assert 'data_preprocessor' not in plain
        assert MODELS.build(plain.model).data_preprocessor.pad_size_divisor == 16
