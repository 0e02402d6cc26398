"""Finding config files without reading them."""

import pytest
from locations import CONFIGS

from nst_det.config.find import find_config, shipped_config
from nst_det.errors import UserError


def test_a_config_is_found_by_path_and_by_name(monkeypatch):
    file = CONFIGS / 'faster_rcnn_nst_voc.py'
    assert find_config(str(file)) == file
    assert find_config('nst_det::faster_rcnn_nst_voc.py').samefile(file)
    assert shipped_config('faster_rcnn_nst_voc.py').samefile(file)
    monkeypatch.setenv('HOME', str(CONFIGS))
    assert find_config('~/faster_rcnn_nst_voc.py') == file


def test_a_config_of_another_package_is_left_to_mmengine():
    assert find_config('mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py') is None


@pytest.mark.parametrize(
    ('path', 'answer'),
    [
        ('nst_dett::faster_rcnn_nst_voc.py', "'nst_dett', which is not installed: did you mean"),
        ('::faster_rcnn_nst_voc.py', "package '', which is not installed: choose from"),
        ('mmdet::retinanet_r18_fpn_1x_coco.py', "no folder, expected 'mmdet::FOLDER/NAME.py'"),
    ],
)
def test_a_config_of_another_package_without_that_package_or_its_folder_is_refused(path, answer):
    with pytest.raises(UserError, match=answer):
        find_config(path)


@pytest.mark.parametrize('path', [str(CONFIGS / 'faster_rcnn_nst_vok.py'), 'nst_det::rcnn_nst_voc'])
def test_a_misspelt_config_is_answered_by_the_nearest(path):
    with pytest.raises(UserError, match=r"did you mean .*faster_rcnn_nst_voc\.py'"):
        find_config(path)


def test_files_of_quite_another_name_are_not_suggested(tmp_path):
    (tmp_path / 'setup.py').touch()
    with pytest.raises(UserError, match=r'there is no config file \S+/my_detector\.py$'):
        find_config(str(tmp_path / 'my_detector.py'))


def test_a_folder_is_answered_by_the_configs_in_it(tmp_path):
    with pytest.raises(UserError, match='is a folder, expected a config file$'):
        find_config(str(tmp_path))
    (tmp_path / 'one.py').touch()
    with pytest.raises(UserError, match=r"is a folder, expected a config file: .*/one\.py'$"):
        find_config(str(tmp_path))
