"""What is exported, what is refused and why, and what of a detector stays in its graph."""

import cv2
import numpy as np
import onnx
import pytest
import torch
from mmengine.dataset import Compose
from tiny_detectors import CLASSES, tiny_detector

from nst_det.apis.build import build_detector
from nst_det.apis.export_student import load_student
from nst_det.config.load import load_config
from nst_det.config.plain import plain_config
from nst_det.errors import UserError
from nst_det.export.compare import Comparison, compare
from nst_det.export.detector_graph import DetectorGraph
from nst_det.export.info import model_info
from nst_det.export.onnx_graph import record_graph, with_info
from nst_det.export.operators import INVALID, top_candidates
from nst_det.export.verify import made_images, predict, run, verify
from nst_det.runtime.images import prepare, read_image
from nst_det.runtime.model_info import ModelInfo
from nst_det.runtime.session import OnnxSession


@pytest.fixture
def student(distilled):
    cfg, checkpoint = distilled()
    student, _ = load_student(plain_config(cfg), checkpoint)
    return student


def exported(detector):
    graph, module = record_graph(detector)
    info = ModelInfo(type(detector).__name__, ('a', 'b', 'c', 'd'), masks=module.mask_kind)
    return graph, OnnxSession(with_info(graph, info), threads=1), module.limits


@pytest.mark.parametrize('variant', ['caffe', 'mxnet'])
def test_inception_bn_takes_every_size_from_a_few_pixels_on(student, tiny_config, variant):
    if variant == 'mxnet':
        cfg = tiny_config('student')
        cfg.model.backbone.variant = cfg.model.roi_head.shared_head.variant = 'mxnet'
        student = build_detector(cfg)
    graph, session, limits = exported(student)
    domains = {opset.domain for opset in onnx.load_from_string(graph).opset_import}
    assert domains == {''}  # standard operators only
    generator = torch.Generator().manual_seed(1)
    found = Comparison()
    for count, height, width in [(1, 96, 128), (2, 75, 91), (1, 9, 170), (3, 37, 64)]:
        images = 255 * torch.rand(count, 3, height, width, generator=generator)
        for one, other in zip(predict(student, images), run(session, images), strict=True):
            found.add(compare(one, other, limits))
    assert not found.wrong
    assert found.expected or variant == 'mxnet'  # whose weights are not distinct


def test_grey_images_go_through_the_test_pipeline_of_a_grey_student(shapes, tmp_path):
    student, cfg = tiny_detector('RetinaNet', grey=True)
    pipeline = cfg.test_dataloader.dataset.pipeline
    graph, module = record_graph(student)
    info = model_info(module, cfg, CLASSES)
    session = OnnxSession(with_info(graph, info), threads=1)
    image = cv2.imread(str(min((shapes / 'VOC2007' / 'JPEGImages').glob('*.jpg'))))
    cv2.imwrite(str(tmp_path / 'image.png'), image[..., 1])

    pixels, _ = prepare(read_image(tmp_path / 'image.png'), info)
    steps = [step for step in pipeline if step['type'] != 'LoadAnnotations']
    made = Compose(steps)(dict(img_path=str(tmp_path / 'image.png'), img_id=0))['inputs']

    assert np.abs(pixels - made.numpy()).max() <= 1
    verified = verify(student, session, made_images(info), module.limits)
    assert not verified.differs, verified.table()
    assert sum(kind.expected for kind in verified.kinds.values())


def test_no_proposals_at_all_give_an_empty_result(student):
    student.rpn_head.test_cfg.min_bbox_size = 1000  # no region is as large
    _, session, _ = exported(student)
    images = torch.rand(2, 3, 64, 64)
    assert [len(found.scores) for found in run(session, images)] == [0, 0]
    assert [len(found.scores) for found in predict(student, images)] == [0, 0]


def test_nan_is_above_no_threshold():
    scores = torch.tensor([[[0.9], [torch.nan], [0.3], [0.05]]])
    best, position, _ = top_candidates(scores, 0.1, 3)
    assert best[0].tolist() == pytest.approx([0.9, 0.3, INVALID])
    assert position[0, :2].tolist() == [0, 2]


def retinanet(**changes):
    detector, _ = tiny_detector('RetinaNet')
    for option, value in changes.items():
        detector.bbox_head.test_cfg[option] = value
    return detector


@pytest.mark.parametrize(
    ('changes', 'reason'),
    [
        (dict(nms=dict(type='soft_nms', iou_threshold=0.5)), 'ONNX has only the plain nms'),
        (dict(nms=dict(type='nms', iou_threshold=0.5, max_num=5)), 'ONNX has only the plain nms'),
        (dict(nms_pre=-1), 'has no nms_pre'),
        (dict(min_bbox_size=8), 'min_bbox_size'),
    ],
)
def test_options_without_a_counterpart_are_refused(changes, reason):
    with pytest.raises(UserError, match=f'^RetinaNet cannot be exported to ONNX: .*{reason}'):
        record_graph(retinanet(**changes))


@pytest.mark.parametrize(
    ('config', 'reason'),
    [
        ('tood/tood_r50_fpn_1x_coco.py', 'TOODHead predicts in a way of its own'),
        ('vfnet/vfnet_r50-mdconv-c3-c5_fpn_ms-2x_coco.py', 'deformable convolutions'),
        ('yolo/yolov3_d53_8xb8-320-273e_coco.py', 'YOLOV3Head predicts in a way of its own'),
        ('solo/solo_r50_fpn_1x_coco.py', 'SOLO predicts in a way of its own'),
        ('sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco.py', 'EmbeddingRPNHead predicts in a way'),
        ('ms_rcnn/ms-rcnn_r50_fpn_1x_coco.py', 'MaskScoringRoIHead predicts in a way of its own'),
        ('centernet/centernet_r18_8xb16-crop512-140e_coco.py', 'CenterNet.* in a way of its own'),
    ],
)
def test_other_families_are_refused_with_a_reason(config, reason):
    cfg = load_config(f'mmdet::{config}')
    with torch.device('meta'):  # its weights do not matter
        detector = build_detector(cfg)
    with pytest.raises(UserError, match=reason):
        DetectorGraph(detector.to_empty(device='cpu'))


def test_a_transformer_that_pads_is_refused():
    detector, _ = tiny_detector('DETR')
    detector.data_preprocessor.pad_size_divisor = 32
    with pytest.raises(UserError, match='set pad_size_divisor=1'):
        record_graph(detector)


def test_an_operation_that_onnx_lacks_is_one_clear_line(student):
    student.backbone.register_forward_hook(
        lambda module, images, outputs: [torch.special.i0(output) for output in outputs]
    )
    with pytest.raises(UserError, match=r'^FasterRCNN cannot be exported to ONNX[^\n]+aten::i0'):
        record_graph(student)


def test_exporting_leaves_the_detector_as_it_was(student):
    images = 255 * torch.rand(1, 3, 75, 91, generator=torch.Generator().manual_seed(0))
    before = predict(student, images)[0]
    record_graph(student)
    assert not student.training
    after = predict(student, images)[0]
    assert before.scores.tolist() == after.scores.tolist()
