"""A second, slow implementation of the VOC2007 protocol, written from the devkit's description.

It shares nothing with the package: lists, loops and integers. The description does not define the
order of equal scores (here the order of the detections) and which of two objects counts that a
detection overlaps equally (here the first, with ordinary objects before difficult ones).
"""


def overlap(box, truth):
    """Intersection over union of two boxes (x1, y1, x2, y2) whose corners are pixels."""
    width = min(box[2], truth[2]) - max(box[0], truth[0]) + 1
    height = min(box[3], truth[3]) - max(box[1], truth[1]) + 1
    if width <= 0 or height <= 0:
        return 0.0
    area = (box[2] - box[0] + 1) * (box[3] - box[1] + 1)
    truth_area = (truth[2] - truth[0] + 1) * (truth[3] - truth[1] + 1)
    return width * height / (area + truth_area - width * height)


def average_precision(detections, objects):
    """AP of one class.

    detections: (image, score, box) each. objects: per image a list of (box, difficult).
    """
    positives = sum(not difficult for listed in objects.values() for _, difficult in listed)
    taken = set()
    curve = []
    right = wrong = 0
    for image, _, box in sorted(detections, key=lambda detection: -detection[1]):
        best, matched = 0.0, None
        for number, (truth, _) in enumerate(objects.get(image, [])):
            if overlap(box, truth) > best:
                best, matched = overlap(box, truth), number
        if matched is not None and best >= 0.5:
            if objects[image][matched][1]:
                continue
            if (image, matched) not in taken:
                taken.add((image, matched))
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
