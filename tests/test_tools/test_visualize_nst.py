"""The tool that draws what a student has learned."""

import pytest
import torch
from mmdet.registry import MODELS


@pytest.fixture
def distilled(tiny_distiller, write, shapes, tmp_path):
    """A config, a student's checkpoint, and two images."""
    cfg = tiny_distiller()
    torch.manual_seed(5)
    torch.save(MODELS.build(cfg.model.student).state_dict(), tmp_path / 'student.pth')
    images = sorted((shapes / 'VOC2007' / 'JPEGImages').glob('*.jpg'))[:2]
    return write(cfg), tmp_path / 'student.pth', images


def test_it_draws_three_figures_of_each_image_twice_over(tool, distilled, tmp_path):
    config, checkpoint, images = distilled
    status, out, err = tool('visualize_nst', config, checkpoint, *images, '-o', 'figures')
    assert status == 0, err
    files = sorted((tmp_path / 'figures').iterdir())
    assert len(files) == 2 * 3 * 2
    for file in files:
        assert f'figures/{file.name}' in out
    assert out.count('MMD²') == 2 and ' before, ' in out


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['{config}', 'gone.pth', '{image}'], 'gone.pth does not exist'),
        (['{config}', '{checkpoint}', 'gone.jpg'], 'there is no image'),
        (['{config}', '{checkpoint}', '{image}', '--before', 'gone.pth'], 'gone.pth does not'),
    ],
)
def test_a_mistake_is_one_clear_line(tool, distilled, arguments, message):
    config, checkpoint, (image, _) = distilled
    given = [one.format(config=config, checkpoint=checkpoint, image=image) for one in arguments]
    status, _, err = tool('visualize_nst', *given)
    assert status == 2
    assert err.splitlines()[-1].startswith('error: ')
    assert message in err.splitlines()[-1]


def test_a_plain_detectors_config_has_nothing_to_show(tool, write, tiny_config, distilled):
    _, checkpoint, images = distilled
    config = write(tiny_config('student'), 'plain.py')
    status, _, err = tool('visualize_nst', config, checkpoint, *images)
    assert status == 2
    assert 'expected an NSTDistiller' in err
