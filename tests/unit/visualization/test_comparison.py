"""The picture that compares the detections of several detectors."""

import pickle

import torch
from PIL import Image

from nst_det.datasets import SHAPE_CLASSES, VOCDevkitDataset
from nst_det.visualization import draw_comparison


def test_the_comparison_has_a_row_for_the_ground_truth_and_for_each_detector(shapes, tmp_path):
    dataset = VOCDevkitDataset(
        data_root=str(shapes),
        ann_file='VOC2007/ImageSets/Main/test.txt',
        data_prefix=dict(sub_data_root='VOC2007/'),
        metainfo=dict(classes=SHAPE_CLASSES),
        test_mode=True,
    )
    found = dict(
        bboxes=torch.tensor([[8.0, 8.0, 40.0, 40.0]]),
        labels=torch.tensor([1]),
        scores=torch.tensor([0.9]),
    )
    samples = [dict(img_id=dataset.get_data_info(i)['img_id']) for i in range(4)]
    for name, score in (('seen.pkl', 0.9), ('missed.pkl', 0.1)):
        instances = dict(found, scores=torch.tensor([score]))
        dumped = pickle.dumps([dict(sample, pred_instances=instances) for sample in samples])
        (tmp_path / name).write_bytes(dumped)
    results = {'seen': tmp_path / 'seen.pkl', 'missed': tmp_path / 'missed.pkl'}
    draw_comparison(dataset, results, tmp_path / 'out.png', images=2)
    sheet = Image.open(tmp_path / 'out.png')
    assert sheet.width == 2 * 128 + 6
    height = sheet.height // 3
    truth, seen, missed = (
        sheet.crop((0, i * height + 26, 128, i * height + 26 + 128)).tobytes() for i in range(3)
    )
    assert truth != missed  # boxes are drawn
    assert seen != missed  # unless their score is low
