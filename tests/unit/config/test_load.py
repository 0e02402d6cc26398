"""Reading configs: by path, by name, and as a base."""

from pathlib import Path

import pytest
from locations import CONFIGS, DEMO
from mmdet.registry import MODELS
from mmengine.config import Config

from nst_det.config.load import load_config
from nst_det.errors import UserError


def test_a_config_of_a_package_is_found_by_its_name():
    assert load_config('mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py').model.type


@pytest.mark.parametrize('name', ['faster_rcnn_nst_voc.py', 'tables/table4_voc07.py'])
def test_a_config_of_ours_is_inherited_by_its_name_from_any_folder(name, tmp_path, monkeypatch):
    monkeypatch.setenv('ROW', 'nst_poly')
    heir = tmp_path / 'heir.py'
    heir.write_text(f"_base_ = 'nst_det::{name}'\n")
    cfg = load_config(str(heir))
    assert cfg.to_dict() == load_config(f'nst_det::{name}').to_dict()
    assert cfg.model.student == load_config(str(CONFIGS / name)).model.student
    assert MODELS.build(cfg.model).transfers  # its names are mmdet's, not of a scope nst_det
    assert load_config(cfg.model.teacher.config).model.type == 'FasterRCNN'


def test_a_base_of_the_package_is_inherited_and_its_teacher_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('heir.py').write_text(
        "_base_ = 'nst_det::_base_/default_runtime.py'\n"
        f"model = dict(teacher=dict(config='nst_det::{DEMO['teacher'].relative_to(CONFIGS)}'))\n"
    )
    cfg = Config.fromfile('heir.py')
    assert cfg.default_scope == 'mmdet'
    assert load_config(cfg.model.teacher.config).model.backbone.width == 0.375


@pytest.mark.parametrize(
    ('path', 'message'),
    [
        ('nst_det::tables/table4_shape.py', "'nst_det::tables/table4_shapes.py'"),
        (str(CONFIGS / 'faster_rcnn_nst_vok.py'), "faster_rcnn_nst_voc.py'"),
        ('/nowhere/at/all.py', 'there is no config file /nowhere/at/all.py'),
        ('mmdet::no/such.py', 'config mmdet::no/such.py cannot be read'),
    ],
)
def test_a_config_that_is_not_there_is_one_clear_line(path, message):
    with pytest.raises(UserError, match='^[^\n]*$') as error:
        load_config(path)
    assert message in str(error.value)


def test_a_config_that_is_no_python_is_one_clear_line(tmp_path):
    file = tmp_path / 'broken.py'
    file.write_text('model = dict(\n')
    with pytest.raises(UserError, match=r'^config \S+ cannot be read: [^\n]*$'):
        load_config(str(file))
