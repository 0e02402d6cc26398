"""The description of an exported model, from its config."""

import pytest
from mmengine.config import Config
from tiny_detectors import CLASSES, tiny_detector

from nst_det.errors import UserError
from nst_det.export.detector_graph import DetectorGraph
from nst_det.export.info import model_info, read_pipeline, smallest_multiple
from nst_det.runtime.model_info import ModelInfo, Pad, Resize


def step(kind, **options):
    return dict(type=kind, **options)


def test_the_pipelines_of_mmdet_are_read():
    load, pack = step('LoadImageFromFile'), step('PackDetInputs')
    two_stage = [load, step('Resize', scale=(1333, 800), keep_ratio=True), pack]
    assert read_pipeline(two_stage) == (Resize((1333, 800), True), None)
    yolox = [
        step('LoadImageFromFile', backend_args=None),
        step('Resize', scale=(640, 640), keep_ratio=True),
        step('Pad', pad_to_square=True, pad_val=dict(img=(114.0, 114.0, 114.0))),
        step('LoadAnnotations', with_bbox=True),
        pack,
    ]
    assert read_pipeline(yolox) == (Resize((640, 640), True), Pad(square=True, value=(114.0,) * 3))
    assert read_pipeline([load, step('Resize', scale_factor=0.5), pack])[0].relative


@pytest.mark.parametrize(
    ('transform', 'reason'),
    [
        (step('RandomCrop', crop_size=(9, 9)), 'a runtime without mmdet does not know'),
        (step('Resize', scale=(9, 9), interpolation='nearest'), "interpolation='nearest'"),
        (step('Pad', size=(9, 9), padding_mode='reflect'), "padding_mode='reflect'"),
    ],
)
def test_what_a_runtime_cannot_do_is_refused(transform, reason):
    with pytest.raises(UserError, match=reason):
        read_pipeline([step('LoadImageFromFile'), transform])


def test_a_detector_of_grey_images_reads_them_grey():
    resize = step('Resize', scale=(9, 9), keep_ratio=True)
    grey = step('LoadImageFromFile', color_type='grayscale')
    assert read_pipeline([grey, resize], channels=1) == (Resize((9, 9), True), None)
    with pytest.raises(UserError, match="color_type='grayscale', expected 'color'"):
        read_pipeline([grey, resize], channels=3)
    with pytest.raises(UserError, match='images have 5 channels, and a runtime'):
        read_pipeline([grey, resize], channels=5)


def test_a_detector_of_fixed_ratios_needs_multiples_of_32():
    rtmdet, cfg = tiny_detector('RTMDet-Ins')
    info = model_info(DetectorGraph(rtmdet), cfg, CLASSES)
    assert (info.multiple, info.masks, info.mask_stride) == (32, 'image', 8)
    assert smallest_multiple(DetectorGraph(tiny_detector('RetinaNet')[0])) == 1


def test_another_number_of_classes_is_refused():
    retinanet, cfg = tiny_detector('RetinaNet')
    with pytest.raises(UserError, match='has 4 classes, and its data set names 2'):
        model_info(DetectorGraph(retinanet), cfg, ('a', 'b'))
    with pytest.raises(UserError, match='no test pipeline'):
        model_info(DetectorGraph(retinanet), Config(dict(model={})), CLASSES)


def test_it_reads_what_it_wrote():
    info = ModelInfo('X', ('a', 'b'), 3, Resize((9, 8), True), Pad((7, 6), 5), 4, 'box', 0.4)
    assert ModelInfo.from_json(info.to_json(), 'file') == info
    assert ModelInfo.from_json(ModelInfo('X', ('a',)).to_json(), 'file').pad is None


@pytest.mark.parametrize('text', ['', '[]', '{"name": "X"}', '{"classes": ["a"], "later": 1}'])
def test_a_foreign_description_is_one_line(text):
    with pytest.raises(UserError, match=r'^file describes itself .* export it again$'):
        ModelInfo.from_json(text, 'file')
