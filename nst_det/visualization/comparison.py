"""The picture that compares the detections of several detectors on the same images."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.datasets import BaseDetDataset
from mmdet.structures import DetDataSample
from mmdet.visualization import DetLocalVisualizer
from mmengine.structures import InstanceData
from PIL import Image, ImageDraw, ImageFont

from nst_det.fileio.predictions import read_predictions

TITLE_HEIGHT = 26
GAP = 6


def draw_comparison(
    dataset: BaseDetDataset,
    results: Mapping[str, Path],
    out: Path,
    images: int = 4,
    scale: int = 2,
    score_thr: float = 0.3,
) -> None:
    """Draw the ground truth, and the detections of each detector, on the first test images.

    Args:
        dataset (BaseDetDataset): The test set.
        results (Mapping[str, Path]): For each title the file that ``tools/test.py --out`` wrote for
            a detector on this test set.
        out (Path): The picture to write: a row with the ground truth, then a row per detector.
        images (int): The number of images. Defaults to 4.
        scale (int): The factor by which the images are enlarged. Defaults to 2.
        score_thr (float): Detections with a lower score are left out. Defaults to 0.3.
    """
    infos = [dataset.get_data_info(i) for i in range(min(images, len(dataset)))]
    classes = dataset.metainfo['classes']

    def draw(info: dict, **found: Any) -> Image.Image:
        image = Image.open(info['img_path']).convert('RGB')
        image = image.resize((image.width * scale, image.height * scale), Image.Resampling.BICUBIC)
        found['bboxes'] = found['bboxes'] * scale
        visualizer = DetLocalVisualizer(line_width=2)
        visualizer.dataset_meta = dict(classes=classes)
        detected = 'scores' in found
        field = 'pred_instances' if detected else 'gt_instances'
        visualizer.add_datasample(
            '',
            np.asarray(image),
            DetDataSample(**{field: InstanceData(**found)}),
            draw_gt=not detected,
            draw_pred=detected,
            pred_score_thr=score_thr,
        )
        return Image.fromarray(visualizer.get_image())

    rows = {'ground truth': [draw(info, **_ground_truth(info)) for info in infos]}
    for title, file in results.items():
        found = read_predictions(file)
        rows[title] = [draw(info, **found[info['img_id']]) for info in infos]
    _montage(rows).save(out)


def _ground_truth(info: dict) -> dict[str, torch.Tensor]:
    objects = info['instances']
    return dict(
        bboxes=torch.tensor([instance['bbox'] for instance in objects], dtype=torch.float).view(
            -1, 4
        ),
        labels=torch.tensor([instance['bbox_label'] for instance in objects], dtype=torch.long),
    )


def _montage(rows: Mapping[str, Sequence[Image.Image]]) -> Image.Image:
    """Put rows of pictures below each other, each row under its title."""
    width = max(sum(picture.width + GAP for picture in row) for row in rows.values()) - GAP
    height = sum(
        max(picture.height for picture in row) + TITLE_HEIGHT + GAP for row in rows.values()
    )
    sheet = Image.new('RGB', (width, height), 'white')
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=18)
    y = 0
    for title, row in rows.items():
        pen.text((2, y + 2), title, fill='black', font=font)
        x = 0
        for picture in row:
            sheet.paste(picture, (x, y + TITLE_HEIGHT))
            x += picture.width + GAP
        y += max(picture.height for picture in row) + TITLE_HEIGHT + GAP
    return sheet
