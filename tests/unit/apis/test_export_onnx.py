"""A detector as an ONNX graph."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from mmdet.structures import DetDataSample

from nst_det.apis.build import build_detector
from nst_det.apis.export_onnx import check_onnx, largest_difference, read_image, write_onnx
from nst_det.apis.export_student import load_student
from nst_det.config.plain import plain_config
from nst_det.errors import UserError


@pytest.fixture
def student(distilled):
    cfg, checkpoint = distilled()
    student, _ = load_student(plain_config(cfg), checkpoint)
    student.roi_head.bbox_head.fc_cls.weight.data.mul_(0.2)  # where scores are 1.0, they are equal
    return student


def test_the_graph_detects_the_same_as_the_student_on_other_images(student, tmp_path):
    # So that neither proposals nor detections are always as many as may be.
    student.rpn_head.test_cfg.nms.iou_threshold = 0.2
    student.roi_head.test_cfg.score_thr = 0.4
    regions = []
    student.roi_head.bbox_head.register_forward_pre_hook(lambda head, x: regions.append(len(x[0])))
    file = tmp_path / 'student.onnx'
    assert write_onnx(student, read_image(student, (64, 80)), file) < 0.01
    assert {opset.domain for opset in onnx.load(file).opset_import} == {
        ''
    }  # standard operators only
    session = onnxruntime.InferenceSession(file)
    counts = set()
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        # Smooth and dark, unlike the noise that it was made of.
        image = 90 * torch.rand(1, 3, 4, 5, generator=generator)
        image = torch.nn.functional.interpolate(image, (64, 80), mode='bilinear')
        given = session.run(None, {'image': image.numpy()})
        sample = DetDataSample(metainfo=dict(img_shape=(64, 80), scale_factor=(1.0, 1.0)))
        data = dict(inputs=[image[0]], data_samples=[sample])
        with torch.no_grad():
            found = student.test_step(data)[0].pred_instances.numpy()
        assert largest_difference(given, (found.bboxes, found.scores, found.labels)) < 0.01
        counts.add(len(given[1]))
    # Neither number is a constant of the graph.
    assert len(counts) > 1
    assert len(set(regions)) > 1


def test_the_order_of_detections_does_not_matter_for_their_comparison():
    boxes, scores = np.array([[0.0, 0, 8, 8], [1, 1, 9, 9]]), np.array([0.5, 0.6])
    labels = np.array([0, 1])
    same = boxes, scores, labels
    assert largest_difference(same, [array[::-1] for array in same]) == 0
    assert largest_difference(same, (boxes + 0.5, scores, labels)) == 0.5
    assert largest_difference(same, (boxes, scores, 1 - labels)) == 1.0  # to the other box
    assert largest_difference(same, [array[:1] for array in same]) == np.inf
    assert largest_difference(*[[array[:0] for array in same]] * 2) == 0


@pytest.mark.slow
def test_a_one_stage_detector_of_mmdet_is_exported(tmp_path):
    torch.manual_seed(0)
    detector = build_detector('mmdet::retinanet/retinanet_r50_fpn_1x_coco.py')
    detector.bbox_head.retina_cls.bias.data.fill_(-2)
    image = read_image(detector, (64, 96))
    assert write_onnx(detector, image, tmp_path / 'retinanet.onnx') < 0.01


def test_an_image_without_detections_is_an_error(student, tmp_path):
    student.roi_head.bbox_head.fc_cls.bias.data[-1] = 1e4  # all is background
    with pytest.raises(UserError, match='detects nothing on this image.*give such an image'):
        write_onnx(student, read_image(student, (64, 64)), tmp_path / 'student.onnx')
    assert not list(tmp_path.glob('*.onnx'))


def test_an_operation_that_onnx_lacks_is_one_clear_line(student, tmp_path):
    forward = student.backbone.forward
    student.backbone.forward = lambda images: [
        torch.special.i0(output) for output in forward(images)
    ]
    with pytest.raises(UserError, match=r'^FasterRCNN cannot be exported to ONNX[^\n]+special_i0'):
        write_onnx(student, read_image(student, (64, 64)), tmp_path / 'student.onnx')
    assert not list(tmp_path.glob('*.onnx'))


def test_an_image_is_scaled_to_the_shape_that_the_detector_pads_to(student, shapes):
    image = min((shapes / 'VOC2007' / 'JPEGImages').glob('*.jpg'))
    assert read_image(student, (60, 80), str(image)).shape == (3, 64, 80)
    with pytest.raises(UserError, match=r'gone\.jpg'):
        read_image(student, (60, 80), 'gone.jpg')


def test_an_existing_file_is_not_overwritten(tmp_path):
    (tmp_path / 'there.onnx').write_text('mine')
    with pytest.raises(UserError, match=r'there\.onnx exists already'):
        check_onnx(tmp_path / 'there.onnx')
    with pytest.raises(UserError, match=r'expected the name of a \.onnx file'):
        check_onnx(Path('student.pb'))
