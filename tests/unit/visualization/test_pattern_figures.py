"""The figures of the patterns of teacher and student."""

import pytest
import torch
from PIL import Image

from nst_det.visualization import draw_clouds, pixels_of, write_figures
from nst_det.visualization.gram_matrices import position_gram
from nst_det.visualization.pattern_clouds import STUDENT_COLOUR, TEACHER_COLOUR


def test_the_clouds_have_a_panel_per_student_with_the_same_points_of_the_teacher(view):
    panels = draw_clouds(view).axes
    assert [panel.get_title()[:6] for panel in panels] == ['before', 'after:']
    offsets = [[c.get_offsets().tolist() for c in panel.collections] for panel in panels]
    assert [len(points) for points in offsets[0]] == [8, 12]
    assert offsets[0][1] == offsets[1][1]
    assert offsets[0][0] != offsets[1][0]
    assert f'MMD² {view.mmd2("after"):.3g}' in panels[1].get_title()
    assert TEACHER_COLOUR != STUDENT_COLOUR


def test_the_distance_of_the_position_grams_is_the_polynomial_mmd2(view):
    difference = position_gram(view.students['before']) - position_gram(view.teacher)
    assert difference.square().sum().item() == pytest.approx(view.mmd2('before'), rel=1e-4)


def test_every_figure_is_written_as_png_and_svg_equal_each_time(view, tmp_path):
    files = list(write_figures([view], tmp_path / 'new' / 'folder', dpi=40))
    names = [f'image_backbone.inception_4b_{name}' for name in ('clouds', 'channels', 'grams')]
    assert [file.name for file in files] == [f'{n}.{s}' for n in names for s in ('png', 'svg')]
    again = list(write_figures([view], tmp_path / 'again', dpi=40))
    for file, copy in zip(files, again, strict=True):
        assert file.read_bytes() == copy.read_bytes()
        if file.suffix == '.png':
            assert Image.open(file).width > 300
        else:
            assert '<svg' in file.read_text()


def test_a_dead_layer_is_drawn_too(view):
    view.teacher = torch.zeros(12, 5, 6)
    view.students = {'after': torch.zeros(8, 5, 6)}
    picture = pixels_of(draw_clouds(view), dpi=30)
    assert picture.ndim == 3 and picture.shape[2] == 3
