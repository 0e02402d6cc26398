"""Every Python snippet of the README and the pages runs, or is a config that can be built."""

import contextlib
import io
import re
import shutil
from pathlib import Path

import pytest
import torch
from doc_blocks import PAGES, ROOT, Block, blocks
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from small_coco import make_own_coco

from nst_det.apis.build import build_detector
from nst_det.apis.export_onnx import make_onnx
from nst_det.apis.export_student import StudentFiles, write_student
from nst_det.config.detector import is_distiller, teacher_options
from nst_det.config.load import load_config
from nst_det.config.options import check_hooks
from nst_det.config.plain import plain_config
from nst_det.datasets import SHAPE_CLASSES
from nst_det.models.distillers.teacher.bare_backbone import teacher_model

SNIPPETS = [b for page in PAGES for b in blocks(page) if b.language in ('python', 'py')]

FPN = "_base_ = 'mmdet::retinanet/retinanet_r18_fpn_1x_coco.py'\n"
PLAIN = "_base_ = 'student.py'\n"
DISTILLED = (
    "_base_ = 'student.py'\n"
    "model = dict(_delete_=True, type='NSTDistiller', student={{_base_.model}}, transfers=[],\n"
    "teacher=dict(config='student.py', checkpoint='random'))"
)
# What a snippet needs around it to be a whole config, by the page and its beginning.
CONFIGS = {
    ('README.md', "_base_ = 'my_detector.py'"): '{}',
    ('docs/your_data.md', "_base_ = 'configs/"): '{}',
    ('docs/your_data.md', "_base_ = './my_student.py'"): '{}',
    ('docs/add_nst.md', "_base_ = 'mmdet::retinanet"): '{}',
    ('docs/add_nst.md', 'from mmengine.config import read_base'): '{}',
    ('docs/nst_in_ten_minutes.md', "_base_ = 'my_detector.py'"): '{}',
    ('docs/choosing.md', 'custom_hooks = '): PLAIN + '{}',
    ('docs/report.md', 'visualizer = '): PLAIN + '{}',
    ('docs/inception_bn_weights.md', 'init_cfg = '): PLAIN + '{}',
    ('docs/classification.md', "_base_ = 'nst_det"): '{}',
    ('docs/backbones.md', "_base_ = 'mmdet::retinanet"): '{}',
    ('docs/backbones.md', "_base_ = 'student.py'"): '{}',
    ('docs/backbones.md', 'teacher=dict('): (
        "_base_ = 'student.py'\n"
        "model = dict(_delete_=True, type='NSTDistiller', student={{{{_base_.model}}}},\n"
        "transfers=[dict(student_layer='backbone.inception_4b', teacher_layer='backbone/14',\n"
        "loss=dict(type='NSTLoss'))],\n{})"
    ),
    ('docs/methods.md', 'transfers=['): (
        "_base_ = 'student.py'\n"
        "model = dict(_delete_=True, type='NSTDistiller', student={{{{_base_.model}}}},\n"
        "teacher=dict(config='student.py', checkpoint='random'),\n{})"
    ),
    ('docs/methods.md', 'teacher=['): (
        "_base_ = 'student.py'\n"
        "model = dict(_delete_=True, type='NSTDistiller', student={{{{_base_.model}}}},\n{})"
    ),
    ('docs/methods.md', 'teacher=dict('): (
        "_base_ = 'student.py'\n"
        "model = dict(_delete_=True, type='NSTDistiller', student={{{{_base_.model}}}},\n{}\n"
        "transfers=[dict(loss=dict(type='KDLoss'))])"
    ),
}


def template(snippet: Block) -> str | None:
    """The config around a snippet, or None where there is none."""
    for (page, beginning), around in CONFIGS.items():
        if snippet.page == page and snippet.text.startswith(beginning):
            return around
    return None


@pytest.fixture
def users_folder(tiny_config, shapes, tmp_path, monkeypatch) -> Path:
    """A folder with a user's own detector, alone and distilled, its checkpoints and an image."""
    monkeypatch.chdir(tmp_path)
    plain = plain_config(tiny_config('student'))
    student = MODELS.build(plain.model)
    torch.save(student.state_dict(), 'trained.pth')
    write_student(student, plain, {}, StudentFiles(Path('student.pth')))
    Path('my_detector_nst.py').write_text(DISTILLED)
    shutil.copy('trained.pth', 'epoch_12.pth')
    shutil.copy(next((shapes / 'VOC2007' / 'JPEGImages').iterdir()), 'image.jpg')
    return tmp_path


@pytest.mark.parametrize('snippet', SNIPPETS, ids=str)
def test_a_snippet_is_a_config_that_can_be_built_or_runs(snippet, users_folder):
    around = template(snippet)
    if 'student.onnx' in snippet.text:
        cfg = load_config('student.py')
        model = make_onnx(build_detector(cfg), cfg, SHAPE_CLASSES)
        Path('student.onnx').write_bytes(model.content)
    if "root / 'annotations.json'" in snippet.text:
        make_own_coco(users_folder / 'data' / 'mine')
    if around is None:
        check_printed(snippet.text)
        return
    detectors = 'student.py' if 'inception_4b' in snippet.text else None
    for name in ('my_detector.py', 'my_teacher.py', 'my_old_teacher.py'):
        text = f"_base_ = '{detectors}'\n" if detectors else FPN
        (users_folder / name).write_text(text)
    (users_folder / 'configs').symlink_to(ROOT / 'configs')
    student = next(s for s in SNIPPETS if s.page == 'docs/your_data.md' and '_base_' in s.text)
    (users_folder / 'my_student.py').write_text(student.text)
    if 'my_pure_detector' in snippet.text:
        load_config('my_detector.py').dump('my_pure_detector.py')
    (users_folder / 'snippet.py').write_text(around.format(snippet.text))
    cfg = load_config('snippet.py')
    build(cfg)


def build(cfg: Config) -> None:
    """Build a config's detector and check its hooks."""
    init_default_scope(cfg.get('default_scope') or 'mmdet')
    check_hooks(cfg.get('custom_hooks'))
    torch.manual_seed(0)
    detector = MODELS.build(cfg.model)
    if is_distiller(cfg):
        assert detector.transfers
        teachers = {options.get('name'): options for options in teacher_options(cfg.model)}
        for transfer in cfg.model.transfers:
            teacher = MODELS.build(teacher_model(teachers[transfer.get('teacher')]))
            layer = transfer.get('teacher_layer', transfer.get('layer', ''))
            path = re.split(r'[\[/]', layer)[0]
            assert path in dict(teacher.named_modules())


def check_printed(text: str) -> None:
    """Run a script; if it prints, then what the comments behind the ``print`` say."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(text, 'snippet', 'exec'), {})
    said = re.findall(r'^print\(.*\)  # (.*)$', text, flags=re.MULTILINE)
    if said:
        assert printed.getvalue().splitlines() == said


def test_every_context_is_of_a_snippet():
    for page, beginning in CONFIGS:
        found = [s for s in SNIPPETS if s.page == page and s.text.startswith(beginning)]
        assert found, f'{page} has no such snippet any more: {beginning}'
