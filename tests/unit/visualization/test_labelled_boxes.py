"""Labels of boxes do not cover each other, and stay in the picture."""

import numpy as np
from PIL import Image

from nst_det.visualization.labelled_boxes import LabelledBox, draw_labelled_boxes, place_labels

SIZE = (60, 16)


def rectangles(places, size=SIZE):
    return [(x, y, x + size[0], y + size[1]) for x, y in places]


def covered(first, second):
    return min(first[2], second[2]) > max(first[0], second[0]) and min(first[3], second[3]) > max(
        first[1], second[1]
    )


def test_a_lone_label_is_above_its_box():
    assert place_labels([(50, 60, 150, 120)], [SIZE], (300, 200)) == [(50, 44)]


def test_at_the_upper_border_it_is_below():
    generator = np.random.default_rng(0)
    for box in generator.uniform(0, 20, (20, 2)):
        ((x, y),) = place_labels([(*box, 150, 120)], [SIZE], (300, 200))
        assert 0 <= x <= 300 - SIZE[0]
        assert 0 <= y <= 200 - SIZE[1]


def test_no_label_covers_another_one_while_there_is_room():
    generator = np.random.default_rng(1)
    for _ in range(50):
        corners = generator.uniform(0, 150, (7, 2))
        boxes = [(*corner, *(corner + generator.uniform(10, 100, 2))) for corner in corners]
        labels = rectangles(place_labels(boxes, [SIZE] * 7, (320, 240)))
        pairs = [(a, b) for i, a in enumerate(labels) for b in labels[:i]]
        assert [pair for pair in pairs if covered(*pair)] == []


def test_boxes_of_one_place_have_labels_of_their_own():
    labels = rectangles(place_labels([(40, 40, 90, 90)] * 6, [SIZE] * 6, (200, 150)))
    assert len(set(labels)) == 6


def drawn(**options):
    picture = Image.new('RGB', (80, 80), 'white')
    draw_labelled_boxes(picture, [LabelledBox((20, 30, 60, 70), '', '#ff0000', **options)])
    return np.asarray(picture)


def test_a_box_is_drawn_in_its_colour_at_its_place():
    rows, columns = np.nonzero((drawn() == (255, 0, 0)).all(2))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (30, 70, 20, 60)


def test_a_dashed_box_has_gaps():
    assert 0 < (drawn(dashed=True) != 255).sum() < (drawn() != 255).sum()
