"""The views of an image take turns, and each is the same picture whenever it comes."""

import random
from collections import Counter

import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS

from nst_det.datasets import SHAPE_CLASSES
from nst_det.datasets.fixed_views import direction_at, set_epoch
from nst_det.errors import UserError

FLIP = dict(type='RandomFlip', prob=0.5)
RESIZE = dict(type='RandomChoiceResize', scales=[(48, 48), (64, 64), (80, 80)], keep_ratio=True)
COLOUR = dict(type='PhotoMetricDistortion')


@pytest.fixture
def make(shapes):
    """``make(*transforms, views=2)``: the training images of the shapes with these transforms."""

    def build(*transforms, kind='FixedViews', **options):
        load = dict(type='LoadVerifiedImage'), dict(type='LoadAnnotations', with_bbox=True)
        dataset = dict(
            type='VOCDevkitDataset',
            data_root=f'{shapes}/',
            metainfo=dict(classes=SHAPE_CLASSES),
            ann_file='VOC2007/ImageSets/Main/trainval.txt',
            data_prefix=dict(sub_data_root='VOC2007/'),
            pipeline=[*load, *transforms, dict(type='PackDetInputs')],
        )
        return DATASETS.build(dict(type=kind, dataset=dataset, **options))

    return build


def loaded(dataset, epoch):
    set_epoch(dataset, epoch)
    return [dataset[index]['inputs'] for index in range(len(dataset))]


def same(first, second):
    return len(first) == len(second) and all(map(torch.equal, first, second))


def test_the_views_of_every_image_take_turns(make):
    dataset = make(FLIP, RESIZE, COLOUR, views=3)
    epochs = [loaded(dataset, epoch) for epoch in range(6)]
    for epoch in range(3):
        assert same(epochs[epoch], epochs[epoch + 3])
        assert not same(epochs[epoch], epochs[(epoch + 1) % 3])


def test_two_views_are_an_image_and_its_flip(make):
    dataset = make(FLIP)
    without = make(kind='RepeatDataset', times=1)
    plain = [without[index]['inputs'] for index in range(len(without))]
    flipped = 0
    for first, second, image in zip(loaded(dataset, 0), loaded(dataset, 1), plain):
        assert torch.equal(first, second.flip(2))
        flipped += torch.equal(second, image)
        assert torch.equal(second, image) or torch.equal(first, image)
    assert 0 < flipped < len(plain)  # not all images begin with the same one


def test_the_boxes_follow_the_flip(make):
    dataset = make(FLIP)
    set_epoch(dataset, 0)
    first = dataset[0]['data_samples']
    set_epoch(dataset, 1)
    second = dataset[0]['data_samples']
    assert {first.flip, second.flip} == {True, False}
    boxes = [sample.gt_instances.bboxes.tensor[:, [0, 2]] for sample in (first, second)]
    torch.testing.assert_close(boxes[0], 64 - boxes[1].flip(1))


def test_an_epoch_that_visits_an_image_several_times_goes_on_with_its_views(make):
    once, thrice = make(FLIP, RESIZE, views=4), make(FLIP, RESIZE, views=4, times=3)
    visits = [loaded(once, epoch) for epoch in range(6)]
    assert same(loaded(thrice, 0), [*visits[0], *visits[1], *visits[2]])
    assert same(loaded(thrice, 1), [*visits[3], *visits[4], *visits[5]])
    assert thrice.images == once.images == len(once) == len(thrice) / 3


def test_the_state_of_the_generators_has_no_effect_and_is_kept(make):
    dataset = make(FLIP, RESIZE, COLOUR)
    expected = loaded(dataset, 0)
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    drawn = random.random(), np.random.rand(), torch.rand(1).item()
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    assert same(loaded(dataset, 0), expected)
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == drawn


def test_another_seed_gives_other_views(make):
    pictures = [loaded(make(RESIZE, COLOUR, seed=seed), 0) for seed in (0, 0, 1)]
    assert same(pictures[0], pictures[1]) and not same(pictures[0], pictures[2])


def test_without_epochs_a_visit_draws_one_of_the_views(make):
    dataset = make(FLIP, COLOUR, views=2)
    views = [loaded(dataset, epoch)[0] for epoch in range(2)]
    dataset.epoch = None
    np.random.seed(0)
    drawn = [dataset[0]['inputs'] for _ in range(20)]
    found = Counter(torch.equal(picture, views[1]) for picture in drawn)
    assert min(found[False], found[True]) > 3
    assert all(torch.equal(p, views[0]) or torch.equal(p, views[1]) for p in drawn)


def test_the_hash_is_that_of_the_picture(make):
    dataset = make(FLIP)
    hashes = []
    for epoch in range(3):
        set_epoch(dataset, epoch)
        hashes.append([dataset[i]['data_samples'].picture_hash for i in range(len(dataset))])
    assert hashes[0] == hashes[2] and not set(hashes[0]) & set(hashes[1])
    assert len({*hashes[0], *hashes[1]}) == 2 * len(dataset)


@pytest.mark.parametrize('transform', ['Mosaic', 'MixUp'])
def test_transforms_that_mix_images_are_refused(make, transform):
    with pytest.raises(UserError, match=f'cannot repeat {transform}, which mixes images'):
        make(dict(type=transform))


@pytest.mark.parametrize('option', ['views', 'times', 'seed'])
def test_a_wrong_option_is_one_clear_line(make, option):
    with pytest.raises(UserError, match=f'^{option} is -1, expected [^\n]*$'):
        make(FLIP, **{option: -1})


def test_flips_are_spread_by_their_probabilities():
    shares = [i / 8 for i in range(8)]
    assert [direction_at(s, 'horizontal', 0.5) for s in shares] == ['horizontal'] * 4 + [None] * 4
    both = ['horizontal', 'vertical']
    found = [direction_at(share, both, [0.25, 0.5]) for share in shares]
    assert found == ['horizontal'] * 2 + ['vertical'] * 4 + [None] * 2
    assert Counter(direction_at(share, both, 0.5) for share in shares) == Counter(
        {'horizontal': 2, 'vertical': 2, None: 4}
    )
