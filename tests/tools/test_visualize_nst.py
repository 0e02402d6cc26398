"""The tool that draws what a student has learned."""

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.registry import DefaultScope


@pytest.fixture
def distilled(tiny_distiller, write, shapes, tmp_path):
    """A config, a student's checkpoint, and an image."""
    cfg = tiny_distiller()
    torch.manual_seed(5)
    torch.save(MODELS.build(cfg.model.student).state_dict(), tmp_path / 'student.pth')
    images = sorted((shapes / 'VOC2007' / 'JPEGImages').glob('*.jpg'))
    return write(cfg), tmp_path / 'student.pth', images[0]


def test_it_draws_three_figures_of_an_image_in_two_formats(tool, distilled, tmp_path):
    config, checkpoint, image = distilled
    status, out, err = tool('visualize_nst', config, checkpoint, image, '-o', 'figures')
    assert status == 0, err
    files = sorted((tmp_path / 'figures').iterdir())
    assert len(files) == 3 * 2
    for file in files:
        assert f'figures/{file.name}' in out
    assert out.count('MMD²') == 1 and ' before, ' in out
    contents = [file.read_bytes() for file in files]
    status, _, err = tool('visualize_nst', config, checkpoint, image, '-o', 'figures')
    assert status == 2  # what is there stays
    assert err.splitlines()[-1].startswith('error: figures/')
    assert 'exists already: choose another folder with -o' in err.splitlines()[-1]
    assert [file.read_bytes() for file in files] == contents


def test_it_draws_images_of_the_test_set_for_a_classifier(tool, write, tiny_classifiers, tmp_path):
    cfg = tiny_classifiers(tmp_path, distilled=True)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        torch.save(MODELS.build(cfg.model.student).state_dict(), tmp_path / 'student.pth')
    command = ('visualize_nst', write(cfg), tmp_path / 'student.pth', '--test-images')
    status, _, err = tool(*command, 3, '-o', 'figures')
    assert status == 0, err
    assert sorted(file.name for file in (tmp_path / 'figures').glob('*.png')) == [
        f'image3_backbone.inception_4b_{figure}.png' for figure in ('channels', 'clouds', 'grams')
    ]
    status, _, err = tool(*command, 4, '-o', 'figures')
    assert status == 2
    assert 'the test set has the images 0 to 3' in err.splitlines()[-1]


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['{config}', 'gone.pth', '{image}'], 'gone.pth does not exist'),
        (['{config}', '{checkpoint}', 'gone.jpg'], 'there is no image'),
        (['{config}', '{checkpoint}', '{config}'], 'it is damaged or not an image'),
        (['{config}', '{checkpoint}', '{image}', 'other/{name}'], '2 images are called'),
        (
            [
                '{config}',
                '{checkpoint}',
                '{image}',
                '--cfg-options',
                '{layer}=backbone.inception_4x',
            ],
            "did you mean 'backbone.inception_4",
        ),
        (['{config}', '{checkpoint}', '{image}', '--before', 'gone.pth'], 'gone.pth does not'),
        (['{config}', '{checkpoint}'], 'there is no image to look at'),
    ],
)
def test_a_mistake_is_one_clear_line(tool, distilled, arguments, message):
    config, checkpoint, image = distilled
    names = dict(config=config, checkpoint=checkpoint, image=image, name=image.name)
    given = [one.format(**names, layer='model.transfers.0.layer') for one in arguments]
    status, _, err = tool('visualize_nst', *given)
    assert status == 2
    assert err.splitlines()[-1].startswith('error: ')
    assert message in err.splitlines()[-1]


def test_a_plain_detectors_config_has_nothing_to_show(tool, write, tiny_config, distilled):
    _, checkpoint, image = distilled
    config = write(tiny_config('student'), 'plain.py')
    status, _, err = tool('visualize_nst', config, checkpoint, image)
    assert status == 2
    assert 'expected an NSTDistiller' in err
