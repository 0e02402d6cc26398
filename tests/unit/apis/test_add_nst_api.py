"""Adding NST to a config: the written config, and that it trains."""

import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from locations import DOCS, MMDET_TOOLS
from mmdet.models.detectors import RetinaNet
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData

from nst_det.apis.add_nst import Addition, add_nst, check_pairs, parse_pair, propose
from nst_det.apis.build import build_detector
from nst_det.apis.list_layers import list_layers
from nst_det.config.detector import detector_config
from nst_det.config.plain import plain_config
from nst_det.engine.hooks import FiniteLossHook
from nst_det.errors import UserError
from nst_det.models import LinearKernel, NSTDistiller
from nst_det.models.distillers.taps.dummy_batch import padded_shape

PAGE = DOCS / 'add_nst.md'
POLY = dict(type='PolynomialKernel', degree=2, offset=0.0)
RETINANET = """
_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'
model = dict(
    backbone=dict(depth=18, base_channels=8, init_cfg=None),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=16),
    bbox_head=dict(in_channels=16, feat_channels=16, stacked_convs=1))
"""
FASTER_RCNN = """
_base_ = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
model = dict(
    backbone=dict(depth=34, base_channels=8, init_cfg=None),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=16),
    rpn_head=dict(in_channels=16, feat_channels=16),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=16),
        bbox_head=dict(in_channels=16, fc_out_channels=16)))
"""


@pytest.fixture(scope='module')
def shrunk(tmp_path_factory):
    """A student and a teacher of mmdet's, shrunk, and the teacher's weights."""
    source = tmp_path_factory.mktemp('shrunk')
    (source / 'models').mkdir()
    for name, text in [('student.py', RETINANET), ('models/teacher.py', FASTER_RCNN)]:
        (source / name).write_text(text)
        Config.fromfile(source / name).dump(source / name)  # without mmdet's slow 'mmdet::'
    weigh(source / 'models/teacher.py', source / 'models/teacher.pth')
    return source


@pytest.fixture
def folder(shrunk, tmp_path, monkeypatch):
    """The user's folder, with all of that."""
    shutil.copytree(shrunk, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def weigh(config, checkpoint):
    torch.manual_seed(0)
    torch.save(dict(state_dict=build_detector(str(config)).state_dict()), checkpoint)


def change(text):
    """Put a config of this text in the place of the student's, which it inherits."""
    Path('student.py').rename('plain.py')
    Path('student.py').write_text(f"_base_ = ['./plain.py']\n{text}\n")


def added(out='nst.py', pairs=(), **changes):
    what = dict(
        student='student.py',
        teacher='models/teacher.py',
        checkpoint='models/teacher.pth',
        kernel=POLY,
        loss_weight=50.0,
    )
    lines = []
    add_nst(Addition(**{**what, **changes}), out, pairs, lines.append)
    return Config.fromfile(out), '\n'.join(lines)


def losses(cfg):
    model = MODELS.build(cfg.model)
    sample = DetDataSample(metainfo=dict(img_shape=(64, 96), ori_shape=(64, 96)))
    boxes = torch.tensor([[8.0, 8, 40, 40]])
    sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.zeros(1, dtype=torch.long))
    image = torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8)
    batch = model.data_preprocessor(dict(inputs=[image], data_samples=[sample]), True)
    return model(**batch, mode='loss')


def error(**changes):
    before = sorted(Path().rglob('*'))
    with pytest.raises(UserError, match='^[^\n]*$') as raised:
        added(**changes)
    assert sorted(Path().rglob('*')) == before  # nothing is left behind
    return str(raised.value)


# What is written.


def test_the_written_config_is_small_and_its_own_settings_come_first(folder):
    cfg, _ = added()
    text = Path('nst.py').read_text()
    assert len(text.splitlines()) < 35
    own = text[: text.index('model = dict(')]
    for name in ('teacher_config', 'teacher_checkpoint', 'kernel', 'loss_weight', 'layers'):
        assert re.search(f'^{name} = ', own, re.M)
    assert cfg.custom_imports.imports == ['nst_det']


def test_the_student_is_the_plain_configs_and_the_rest_is_untouched(folder):
    cfg, _ = added()
    plain = Config.fromfile('student.py')
    student = detector_config(cfg)
    assert student == {key: plain.model[key] for key in student}
    ours = set(cfg) - set(plain)
    settings = {'teacher_config', 'teacher_checkpoint', 'kernel', 'loss_weight', 'layers'}
    assert ours == settings | {'custom_imports', 'custom_hooks'}
    assert all(cfg[key] == plain[key] for key in plain if key != 'model')


def test_its_losses_are_those_of_the_student_and_one_for_each_layer(folder):
    cfg, _ = added()
    nst = {name: loss for name, loss in losses(cfg).items() if name.startswith('loss_nst')}
    assert set(nst) == {'loss_nst_neck_0', 'loss_nst_neck_1', 'loss_nst_neck_2'}
    assert all(loss > 0 for loss in nst.values())


def test_the_layers_share_the_weight(folder):
    cfg, report = added(loss_weight=30.0)
    assert [transfer.loss.loss_weight for transfer in cfg.model.transfers] == [10.0] * 3
    assert 'λ = 30 as given, shared by the 3 layers' in report


def test_a_nan_loss_stops_the_training_as_in_our_configs(folder):
    cfg, _ = added()
    assert cfg.custom_hooks == [dict(type='FiniteLossHook')]


def test_the_students_own_hooks_are_kept_beside_the_check_for_nan(folder):
    change("custom_hooks = [dict(type='NumClassCheckHook'), dict(type='EMAHook', momentum=0.1)]")
    cfg, _ = added()
    assert [hook.type for hook in cfg.custom_hooks] == [
        'NumClassCheckHook',
        'EMAHook',
        'FiniteLossHook',
    ]
    assert cfg.custom_hooks[1].momentum == 0.1


def test_a_check_for_nan_that_the_student_has_is_not_added_again(folder):
    change("custom_hooks = [dict(type='FiniteLossHook', max_skips=3)]")
    cfg, _ = added()
    assert cfg.custom_hooks == [dict(type='FiniteLossHook', max_skips=3)]


def test_a_config_of_mmdet_can_be_the_base(folder):
    cfg, _ = added(
        student='mmdet::retinanet/retinanet_r18_fpn_1x_coco.py',
        pairs=[('backbone.layer3', 'backbone.layer2')],
    )
    assert cfg.model.student.backbone.depth == 18
    assert losses(cfg)['loss_nst_backbone_layer3'] > 0


def test_mmdets_own_tools_find_a_base_that_nst_det_ships(folder):
    name = 'nst_det::faster_rcnn/faster-rcnn_inception-bn-w0.25_5e_shapes.py'
    add_nst(Addition(name, name, 'random', POLY, 1.0), 'ours.py')
    script = 'from mmengine.config import Config; print(Config.fromfile("ours.py").model.type)'
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True)
    assert done.stdout == 'NSTDistiller\n', done.stderr


def test_a_folder_can_move_with_its_config(folder, tmp_path):
    added()
    moved = folder.rename(folder.parent / f'{folder.name} moved')
    cfg = Config.fromfile(moved / 'nst.py')
    assert cfg.model.teacher.checkpoint == f'{moved}/models/teacher.pth'
    assert losses(cfg)
    moved.rename(folder)


def test_files_elsewhere_are_named_by_their_absolute_path(folder, monkeypatch):
    cfg, _ = added(out='deep/er/nst.py')
    assert cfg.model.teacher.config == str(folder / 'models/teacher.py')
    monkeypatch.chdir('/')
    assert losses(Config.fromfile(folder / 'deep/er/nst.py'))


def test_the_layers_may_differ_and_the_kernel_be_another(folder):
    cfg, report = added(
        pairs=[('neck[0]', 'backbone.layer3')], kernel=dict(type='LinearKernel'), loss_weight=5.0
    )
    (transfer,) = cfg.model.transfers
    assert (transfer.student_layer, transfer.teacher_layer) == ('neck[0]', 'backbone.layer3')
    assert transfer.loss.kernel.type == 'LinearKernel'
    assert transfer.loss.loss_weight == 5.0
    assert "stride 16): the teacher's map will be interpolated" in report
    assert losses(cfg)['loss_nst_neck_0'] > 0


@pytest.mark.parametrize('imports', ["['json', 'csv']", "'json'"])
def test_the_students_own_imports_are_kept(folder, imports):
    change(f'custom_imports = dict(imports={imports}, allow_failed_imports=True)')
    cfg, _ = added()
    assert set(cfg.custom_imports.imports) == {'json', 'nst_det', *(['csv'] * ('csv' in imports))}
    assert cfg.custom_imports.allow_failed_imports


def test_a_data_preprocessor_beside_the_model_reaches_the_student(folder):
    change(
        'model = dict(_delete_=True, **_base_.model)\n'
        "data_preprocessor = model.pop('data_preprocessor')\n"
        'data_preprocessor.mean = [7, 7, 7]'
    )
    cfg, _ = added()
    cfg.model.setdefault('data_preprocessor', cfg.data_preprocessor)  # as the Runner does
    assert MODELS.build(cfg.model).data_preprocessor.mean.flatten().tolist() == [7, 7, 7]


def test_several_bases_make_one_student(folder):
    Path('more.py').write_text('of_another_base = 1')
    Path('student.py').rename('plain.py')
    Path('student.py').write_text("_base_ = ['./plain.py', './more.py']")
    cfg, _ = added()
    assert cfg.model.student.backbone.depth == 18
    assert cfg.of_another_base == 1


def test_a_url_is_not_fetched(folder):
    url = 'https://example.org/teacher.pth'
    cfg, report = added(checkpoint=url)
    assert cfg.model.teacher.checkpoint == url
    assert f'Not checked: whether {url} fits' in report


def test_mmdets_own_tool_trains_it_from_another_folder(
    tiny_config, folder, tmp_path_factory, monkeypatch
):
    tiny_config('student', train_cfg=dict(max_epochs=1)).dump('plain.py')
    tiny_config('teacher').dump('models/plain_teacher.py')
    weigh('models/plain_teacher.py', 'models/plain.pth')
    added(student='plain.py', teacher='models/plain_teacher.py', checkpoint='models/plain.pth')
    monkeypatch.chdir(tmp_path_factory.mktemp('elsewhere'))
    arguments = [folder / 'nst.py', '--work-dir', 'run']
    monkeypatch.setattr(sys, 'argv', ['train.py', *map(str, arguments)])
    runpy.run_path(str(MMDET_TOOLS / 'train.py'), run_name='__main__')
    weights = torch.load('run/epoch_1.pth')['state_dict']
    build_detector(str(folder / 'plain.py')).load_state_dict(weights, strict=True)


# What is proposed.


def passes(*configs):
    models = [build_detector(config) for config in configs]
    shape = padded_shape((128, 192), *models)
    return [list_layers(model, shape, body_only=True) for model in models]


def test_necks_are_paired_by_stride_as_far_as_the_backbone_goes(folder):
    pairs, why = propose(*passes('student.py', 'models/teacher.py'))
    assert pairs == [('neck[0]', 'neck[1]'), ('neck[1]', 'neck[2]'), ('neck[2]', 'neck[3]')]
    assert 'coarser than stride 32' in why


def test_without_a_neck_it_is_the_backbones_last_map_of_stride_16(folder, tiny_config):
    tiny_config('student').dump('c4.py')
    pairs, why = propose(*passes('c4.py', 'models/teacher.py'))
    assert pairs == [('backbone.inception_4b', 'backbone.layer3')]
    assert 'the student has no neck' in why


def test_without_a_map_of_stride_16_it_is_the_nearest(folder):
    change('model = dict(backbone=dict(strides=(1, 2, 1, 1)), neck=None)')
    pairs, why = propose(*passes('student.py', 'models/teacher.py'))
    assert pairs == [('backbone.layer4', 'backbone.layer2')]
    assert 'stride 8, the nearest to 16' in why


def test_frozen_layers_are_not_proposed(folder):
    change('model = dict(backbone=dict(frozen_stages=4), neck=None)')
    with pytest.raises(UserError, match='has no suitable feature map in a module called backbone'):
        propose(*passes('student.py', 'models/teacher.py'))


# A user's mistakes: one line, and nothing is written.


def test_an_existing_config_is_not_overwritten(folder):
    Path('nst.py').write_text('mine')
    with pytest.raises(UserError, match='nst.py exists already: remove it, or choose another name'):
        added()
    assert Path('nst.py').read_text() == 'mine'


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(out='nst.json'), 'is nst.json, expected the name of a .py file'),
        (dict(student='studnet.py'), "did you mean 'student.py'?"),
        (dict(teacher='models/teachr.py'), "did you mean 'models/teacher.py'?"),
        (dict(checkpoint='models/no.pth'), 'models/no.pth does not exist'),
        (dict(checkpoint='student.py'), 'cannot be read as a checkpoint'),
        (dict(teacher='student.py'), 'is of another architecture than the teacher'),
        (dict(kernel=dict(type='LinearKernle')), "did you mean 'LinearKernel'"),
        (dict(loss_weight=-1.0), 'loss_weight is -1.0'),
        (dict(pairs=[('nekc[0]', 'neck[0]')]), "no layer 'nekc': did you mean 'neck"),
        (dict(pairs=[('neck[0]', 'neck[9]')]), 'gives 5 values: choose one of neck[0]'),
        (dict(pairs=[('backbone.layer1', 'neck[0]')]), "'backbone.layer1' learns nothing"),
        (dict(pairs=[('bbox_head.retina_cls', 'neck[0]')]), "choose one, from 'bbox_head.retina_"),
        (
            dict(pairs=[('neck[0]', 'roi_head.bbox_roi_extractor')]),
            "the teacher's layer 'roi_head.bbox_roi_extractor' gives",
        ),
    ],
)
def test_a_mistake_is_one_clear_line_and_nothing_is_written(folder, changes, message):
    assert message in error(**changes)


def test_a_config_that_has_nst_already_is_refused(folder):
    added()
    assert 'has NST already' in error(student='nst.py', out='twice.py')


# Students in the pure Python style.


def pure(name='pure.py', parent='plain'):
    """Write the student's config in the style that imports its classes and other configs."""
    file = Path(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy('student.py', file.with_name(f'{parent}.py'))
    file.write_text(
        'from mmengine.config import read_base\n'
        'from mmdet.models.detectors import RetinaNet\n\n'
        f'with read_base():\n    from .{parent} import *\n\n'
        'model.update(type=RetinaNet)\n'
        'default_scope = None\n'  # as such configs of mmdet have it
        "custom_hooks = [dict(type='NumClassCheckHook')]\n"
    )
    return name


def test_a_pure_python_student_gets_a_pure_python_config(folder):
    cfg, _ = added(student=pure())
    assert Config._is_lazy_import('nst.py') and cfg.model.type is NSTDistiller
    assert cfg.model.student.type is RetinaNet
    assert [hook.type for hook in cfg.custom_hooks] == ['NumClassCheckHook', FiniteLossHook]
    assert 'from .pure import *' in Path('nst.py').read_text()
    computed = losses(cfg)
    assert computed['loss_nst_neck_0'] > 0 and computed['loss_cls']


def test_the_students_pure_python_config_may_be_in_another_folder(folder):
    cfg, _ = added(student=pure('configs/deep/pure.py'), out='configs/nst/nst.py')
    assert 'from ..deep.pure import *' in Path('configs/nst/nst.py').read_text()
    assert cfg.model.student.backbone.depth == 18
    cfg, _ = added(student=pure('a/pure.py'), out='nst.py', kernel=dict(type='LinearKernel'))
    assert 'from .a.pure import *' in Path('nst.py').read_text()
    assert cfg.model.transfers[0].loss.kernel.type is LinearKernel


def test_a_pure_python_config_is_trained_by_the_tools_as_another_is(folder):
    cfg, _ = added(student=pure())
    text, plain = Config.fromfile('nst.py').pretty_text, plain_config(cfg)
    assert 'NSTDistiller' in text
    assert type(build_detector(plain)) is RetinaNet


def test_a_name_that_python_cannot_import_is_one_line(folder):
    assert "'my-student' is no name of Python" in error(student=pure('my-student.py'))


def test_a_config_without_a_model_is_refused(folder):
    Path('data.py').write_text('a = 1')
    assert 'data.py has no model with a type' in error(student='data.py')


def test_a_config_that_does_not_build_is_removed_again(folder):
    change('kernel = 3')  # clashes with the dict of that name in the written config
    assert 'nst.part.py cannot be read' in error()


def test_a_head_that_fails_is_named(folder):
    student, teacher = build_detector('student.py'), build_detector('models/teacher.py')
    student.bbox_head.forward = lambda *args: 1 / 0
    known = [list_layers(model, (128, 192), body_only=True) for model in (student, teacher)]
    with pytest.raises(UserError, match=r'^bbox_head.retina_cls@0 could not be tried, .*: ZeroDiv'):
        check_pairs(student, teacher, known, [('bbox_head.retina_cls@0', 'neck[0]')])


@pytest.mark.parametrize(
    ('text', 'pair'),
    [('neck[1]', ('neck[1]', 'neck[1]')), ('neck[1]=a.b@2', ('neck[1]', 'a.b@2'))],
)
def test_a_pair_is_one_layer_or_two(text, pair):
    assert parse_pair(text) == pair


@pytest.mark.parametrize('text', ['', 'neck[1]=', '=neck', 'a b'])
def test_a_text_that_is_no_pair_is_an_error(text):
    with pytest.raises(UserError, match='expected a module path'):
        parse_pair(text)


# By hand.


def test_the_documented_snippet_is_a_complete_config_of_at_most_8_lines(tmp_path):
    snippet, *_ = re.findall(r'```python\n(.*?)```', PAGE.read_text(), re.S)
    assert len(snippet.splitlines()) <= 8
    (tmp_path / 'by_hand.py').write_text(snippet)
    cfg = Config.fromfile(tmp_path / 'by_hand.py')
    teacher = detector_config(cfg.model.teacher.config)
    teacher.backbone.update(depth=50, init_cfg=None)  # no download, and quicker
    cfg.model.teacher.update(config=teacher, checkpoint='random')
    assert losses(cfg)['loss_nst_neck_1'] > 0
