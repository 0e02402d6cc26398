"""The picture that compares the detections of several detectors."""

import pickle

import pytest
import torch
from mmengine.structures import InstanceData
from PIL import Image

from nst_det.datasets import SHAPE_CLASSES, VOCDevkitDataset
from nst_det.evaluation.functional.detection_quality import ground_truth
from nst_det.visualization.comparison import OBJECT, RIGHT, WRONG, draw_comparison


@pytest.fixture
def dataset(shapes):
    return VOCDevkitDataset(
        data_root=str(shapes),
        ann_file='VOC2007/ImageSets/Main/test.txt',
        data_prefix=dict(sub_data_root='VOC2007/'),
        metainfo=dict(classes=SHAPE_CLASSES),
        test_mode=True,
    )


def dumped(folder, name, dataset, shift):
    """The predictions of a detector that finds every object, shifted by some pixels."""
    predictions = []
    for image, objects in ground_truth(dataset).items():
        found = InstanceData(
            bboxes=torch.from_numpy(objects['bboxes']) + shift,
            labels=torch.from_numpy(objects['labels']),
            scores=torch.full((len(objects['labels']),), 0.9),
        )
        predictions.append(dict(img_id=image, pred_instances=dict(found.items())))
    (folder / name).write_bytes(pickle.dumps(predictions))
    return folder / name


def test_the_comparison_has_a_row_for_the_ground_truth_and_for_each_detector(dataset, tmp_path):
    results = {
        'seen': dumped(tmp_path, 'seen.pkl', dataset, 0),
        'missed': dumped(tmp_path, 'missed.pkl', dataset, 1000),
    }
    draw_comparison(dataset, results, tmp_path / 'out.png', images=2)
    sheet = Image.open(tmp_path / 'out.png')
    assert sheet.width == 2 * 128 + 6
    height = sheet.height // 3
    truth, seen, missed = (
        sheet.crop((0, i * height + 26, 128, i * height + 26 + 128)) for i in range(3)
    )
    assert [count(part, RIGHT) > 0 for part in (truth, seen, missed)] == [False, True, False]
    # A detector that finds nothing shows nothing but what it missed.
    assert [count(part, WRONG) for part in (truth, seen, missed)] == [0, 0, 0]
    assert 0 < count(missed, OBJECT) < count(truth, OBJECT)


def count(picture, colour):
    """The number of pixels of a colour."""
    wanted = tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return list(picture.getdata()).count(wanted)
