"""The detector that a config names, and whether its model is a distiller."""

import pytest
from mmengine.config import Config, ConfigDict

from nst_det.config.detector import detector_config, is_distiller, teacher_options
from nst_det.errors import UserError
from nst_det.models import NSTDistiller

DETECTOR = dict(type='FasterRCNN')


class OwnDistiller(NSTDistiller):
    """A distiller of a user's own."""


@pytest.mark.parametrize('kind', ['NSTDistiller', 'mmdet.NSTDistiller', NSTDistiller, OwnDistiller])
def test_a_distiller_is_recognised_by_name_scope_or_class(kind):
    model = dict(type=kind, student=DETECTOR)
    assert is_distiller(model)
    assert is_distiller(dict(model=model))
    assert is_distiller(ConfigDict(model))


def test_a_complete_config_of_a_distiller_is_recognised():
    assert is_distiller(Config(dict(model=dict(type='NSTDistiller', student=DETECTOR))))


@pytest.mark.parametrize(
    'cfg',
    [DETECTOR, dict(model=DETECTOR), dict(type='MyNSTDistiller'), {}, None, 5, 'x', dict(model=3)],
)
def test_anything_else_is_no_distiller(cfg):
    assert not is_distiller(cfg)


def test_the_detector_of_a_distiller_is_its_student():
    model = dict(type='mmdet.NSTDistiller', student=DETECTOR, teacher={}, transfers=[])
    assert detector_config(dict(model=model)) == DETECTOR


def test_a_config_without_a_detector_is_an_error_about_the_teacher():
    with pytest.raises(UserError, match='expected the path of a config') as caught:
        detector_config(dict(model=5))
    assert caught.value.option == 'teacher.config'


def test_the_teachers_of_a_distiller_are_listed():
    one, other = dict(checkpoint='a.pth'), dict(name='old', checkpoint='b.pth')
    assert teacher_options(dict(teacher=one)) == [one]
    assert teacher_options(dict(teacher=[one, other])) == [one, other]
    assert teacher_options(dict(type='FasterRCNN')) == []
