"""The configs of mmrazor that are written anew: their settings, and the lines that they take."""

import importlib.util
import re
from pathlib import Path

import pytest
from locations import CONFIGS, DOCS

from nst_det.config.load import load_config

FOLDER = CONFIGS / 'from_mmrazor'
FILES = sorted(FOLDER.glob('*.py'))
CWD = dict(type='CWDLoss', loss_weight=10.0, temperature=1.0)
MGD = dict(type='MGDLoss', loss_weight=2e-5, mask_ratio=0.65)
NECK, CONVS = 'neck[{}]', 'neck.fpn_convs.{}.conv'
SETTINGS = {
    'cwd_cls_head_gfl_r101_fpn_gfl_r50_fpn_1x_coco': (CWD, 5, NECK),
    'cwd_fpn_frcnn_r101_frcnn_r50_1x_coco': (CWD, 5, NECK),
    'cwd_fpn_retina_r101_retina_r50_1x_coco': (CWD, 5, NECK),
    'cwd_fpn_retina_r101_retina_r50_1x_coco_visualization': (CWD, 5, NECK),
    'mgd_fpn_retina_x101_retina_r50_2x_coco': (MGD, 5, CONVS),
    'pkd_fpn_faster-rcnn_r101_faster-rcnn_r50_2x_coco': (6.0, 4, NECK),
    'pkd_fpn_fcos_x101_retina_r50_1x_coco': (10.0, 4, NECK),
    'pkd_fpn_mask-rcnn_swin_retina_r50_2x_coco': (6.0, 4, NECK),
    'pkd_fpn_reppoints_x101-dcn_reppoints_r50_2x_coco': (10.0, 4, NECK),
    'pkd_fpn_retina_x101_retina_r50_2x_coco': (10.0, 4, NECK),
}


def own_lines(file: Path) -> int:
    """The lines of a file that are neither blank nor comments."""
    lines = [line.strip() for line in file.read_text().splitlines()]
    return sum(bool(line) and not line.startswith('#') for line in lines)


def count_lines(file: Path) -> int:
    """The same, with the lines of the configs beside it that it is based on, but not mmdet's."""
    base = re.search(r"^_base_ = \[?'(?:\./)?([\w-]+\.py)'", file.read_text(), re.M)
    return own_lines(file) + (count_lines(file.parent / base[1]) if base else 0)


def table() -> dict[str, tuple[int, ...]]:
    """The lines of mmrazor's file, with those below it, and of ours, as the page tells them."""
    rows = re.findall(r'^\| `(\S+)\.py` \|((?: \d+ \|){3})$', PAGE.read_text(), re.M)
    return {name: tuple(map(int, re.findall(r'\d+', counts))) for name, counts in rows}


PAGE = DOCS / 'from_mmrazor.md'


def test_there_are_ten_and_the_page_lists_all():
    assert [file.stem for file in FILES] == sorted(SETTINGS)
    assert table().keys() == SETTINGS.keys() and len(SETTINGS) == 10


@pytest.mark.parametrize('file', FILES, ids=lambda file: file.stem)
def test_a_config_takes_at_most_half_of_mmrazors_lines(file):
    _, theirs, ours = table()[file.stem]
    assert count_lines(file) == ours <= theirs / 2


@pytest.mark.parametrize('file', FILES, ids=lambda file: file.stem)
def test_the_lines_of_mmrazors_configs_are_those_of_mmrazor(file):
    spec = importlib.util.find_spec('mmrazor')
    if spec is None:
        pytest.skip('mmrazor is not installed: put a checkout of its version 1.0.0 on PYTHONPATH')
    package = Path(spec.submodule_search_locations[0])
    folders = [package / '.mim' / 'configs', package.parent / 'configs']  # installed, a checkout
    found = [config for folder in folders for config in folder.rglob(file.name)]
    assert (own_lines(found[0]), count_lines(found[0])) == table()[file.stem][:2]


@pytest.mark.parametrize('file', FILES, ids=lambda file: file.stem)
def test_a_config_has_the_losses_and_layers_of_mmrazors(file):
    loss, levels, layer = SETTINGS[file.stem]
    if isinstance(loss, float):
        loss = dict(type='PKDLoss', loss_weight=loss, mode='code')
    cfg = load_config(str(file))
    assert cfg.model.type == 'NSTDistiller'
    expected = [dict(layer=layer.format(level), loss=loss) for level in range(levels)]
    assert cfg.model.to_dict()['transfers'] == expected
    assert load_config(cfg.model.teacher.config).model.type
    assert cfg.model.teacher.checkpoint.startswith('https://download.openmmlab.com/')
    epochs = re.search(r'_(\d)x_coco', file.stem)
    assert cfg.train_cfg.max_epochs == 12 * int(epochs[1])


def test_the_student_of_mgd_begins_with_neck_and_head_of_its_teacher():
    model = load_config(str(FOLDER / 'mgd_fpn_retina_x101_retina_r50_2x_coco.py')).model
    for part in ('neck', 'bbox_head'):
        init_cfg = model.student[part].init_cfg
        assert init_cfg.prefix == f'{part}.' and init_cfg.checkpoint == model.teacher.checkpoint
