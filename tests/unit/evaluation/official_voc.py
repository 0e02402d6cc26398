"""VOC2007's protocol once more, as its development kit's description reads: slow, plain, our judge.

It shares nothing with the package: lists, loops and whole numbers. What the description leaves
open is the order of equal scores (here the detections' own) and of two objects that a detection
overlaps alike (here the first, the ordinary before the difficult).
"""


def overlap(box, other):
    """Intersection over union of two boxes (x1, y1, x2, y2) whose corners are pixels."""
    width = min(box[2], other[2]) - max(box[0], other[0]) + 1
    height = min(box[3], other[3]) - max(box[1], other[1]) + 1
    if width <= 0 or height <= 0:
        return 0.0
    area = (box[2] - box[0] + 1) * (box[3] - box[1] + 1)
    other_area = (other[2] - other[0] + 1) * (other[3] - other[1] + 1)
    return width * height / (area + other_area - width * height)


def average_precision(detections, objects):
    """AP of one class.

    detections: (image, score, box) each. objects: per image a list of (box, difficult).
    """
    positives = sum(not difficult for listed in objects.values() for _, difficult in listed)
    taken = set()
    curve = []
    right = wrong = 0
    for image, _, box in sorted(detections, key=lambda detection: -detection[1]):
        best, which = 0.0, None
        for number, (truth, _) in enumerate(objects.get(image, [])):
            if overlap(box, truth) > best:
                best, which = overlap(box, truth), number
        if which is not None and best >= 0.5:
            if objects[image][which][1]:
                continue
            if (image, which) not in taken:
                taken.add((image, which))
                right += 1
            else:
                wrong += 1
        else:
            wrong += 1
        curve.append((right, right / (right + wrong)))
    if not positives:
        return None
    total = 0.0
    for tenths in range(11):
        reached = [precision for right, precision in curve if 10 * right >= tenths * positives]
        total += max(reached, default=0.0)
    return total / 11
