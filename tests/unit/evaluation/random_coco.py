"""Random annotations and detections in COCO's format."""

import numpy as np
from pycocotools import mask

SIZE = 200


def random_coco(seed, images=10, classes=4, objects=8, detections=30):
    """Annotations with crowds and images without objects, and detections of equal scores.

    Args:
        seed (int): The seed.
        images (int): The number of images. Defaults to 10.
        classes (int): The number of classes. Defaults to 4.
        objects (int): The largest number of objects in an image. Defaults to 8.
        detections (int): The largest number of detections in an image. Defaults to 30.

    Returns:
        tuple[dict, list[dict]]: The annotations, and the detections with boxes and masks.
    """
    rng = np.random.default_rng(seed)
    categories = [dict(id=7 * i + 2, name=f'class {i}') for i in range(classes)]
    truth = dict(
        images=[dict(id=3 * i + 5, width=SIZE, height=SIZE) for i in range(images)],
        annotations=[],
        categories=categories,
    )
    results = []
    for image in truth['images']:
        boxes = []
        for _ in range(rng.integers(objects + 1)):
            width, height = rng.choice([16, 50, 130], 2) * rng.uniform(0.8, 1.2, 2)
            left, top = rng.uniform(0, [SIZE - width, SIZE - height])
            boxes.append((left, top, width, height, int(rng.integers(classes))))
            truth['annotations'].append(
                dict(
                    id=len(truth['annotations']) + 1,
                    image_id=image['id'],
                    category_id=categories[boxes[-1][4]]['id'],
                    bbox=[float(side) for side in boxes[-1][:4]],
                    area=float(width * height * rng.uniform(0.5, 1)),
                    iscrowd=int(rng.random() < 0.1),
                    segmentation=rle(*boxes[-1][:4]),
                )
            )
        for _ in range(rng.integers(detections + 1)):
            *sides, label = boxes[rng.integers(len(boxes))] if boxes else (20, 20, 50, 50, 0)
            sides = np.array(sides) + rng.normal(0, rng.choice([0, 2, 8, 40]), 4)
            left, top = np.clip(sides[:2], 0, SIZE - 3)
            width, height = np.clip(sides[2:], 2, SIZE - np.array([left, top]))
            box = [float(side) for side in (left, top, width, height)]
            if rng.random() < 0.1:
                label = int(rng.integers(classes))
            results.append(
                dict(
                    image_id=image['id'],
                    category_id=categories[label]['id'],
                    bbox=box,
                    score=round(float(rng.random()), 1),
                    segmentation=rle(*box),
                )
            )
    return truth, results


def rle(left, top, width, height):
    """The mask of an ellipse in a box."""
    row, column = np.mgrid[:SIZE, :SIZE] + 0.5
    inside = ((column - left) / width - 0.5) ** 2 + ((row - top) / height - 0.5) ** 2 < 0.25
    encoded = mask.encode(np.asfortranarray(inside.astype(np.uint8)))
    return dict(size=encoded['size'], counts=encoded['counts'].decode())
