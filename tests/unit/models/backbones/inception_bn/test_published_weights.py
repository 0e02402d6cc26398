"""Published weights under this package's names, and what the network makes of them."""

import numpy as np
import pytest
import torch
from locations import FIXTURES

from nst_det.errors import UserError
from nst_det.models import InceptionBN, InceptionBNTail
from nst_det.models.backbones.inception_bn import pretrained
from nst_det.models.backbones.inception_bn.published_weights import (
    fold_normalisation,
    normalisation,
    published_names,
    read_published,
)

OWN_FILE = FIXTURES / 'mxnet_inception_bn.params'
EPS = 2e-5


@pytest.mark.parametrize(('family', 'variant'), [('mxnet', 'mxnet'), ('bninception', 'caffe')])
def test_every_tensor_of_the_network_has_a_published_name_and_no_other_does(family, variant):
    network = InceptionBN(variant=variant, width=0.1, out_layers=('5b',)).state_dict()
    own = {key for key in network if not key.endswith('num_batches_tracked')}
    assert set(published_names(family).values()) == own
    assert len(published_names(family)) == len(own)


def test_activations_after_conversion_are_mxnets_own():
    golden = np.load(FIXTURES / 'mxnet_inception_bn_maps.npz')
    layers = ('conv1', 'conv2', '3a')
    backbone = InceptionBN(
        variant='mxnet',
        width=0.125,
        out_layers=layers,
        init_cfg=dict(type='Pretrained', checkpoint=str(OWN_FILE)),
    )
    backbone.init_weights()
    with torch.no_grad():
        maps = backbone.eval()(torch.from_numpy(golden['image']).float())
    for name, found in zip(('conv1', 'conv2', 'inception_3a'), maps):
        torch.testing.assert_close(found, torch.from_numpy(golden[name]), rtol=1e-5, atol=1e-5)


def as_bninception(weights, old=True):
    """A network's weights as a published file holds them, older ones with (1, C) norms."""
    names = {own: name for name, own in published_names('bninception').items()}
    file = {names[key]: value for key, value in weights.items() if key in names}
    if old:
        file = {key: value[None] if '_bn.' in key else value for key, value in file.items()}
    return {**file, 'last_linear.weight': torch.zeros(5, 8), 'last_linear.bias': torch.zeros(5)}


@pytest.mark.parametrize('old', [False, True])
def test_backbone_and_tail_both_load_from_one_bninception_file(tmp_path, caplog, old):
    torch.manual_seed(0)
    network = InceptionBN(width=0.1, out_layers=('5b',))
    torch.save(as_bninception(network.state_dict(), old), tmp_path / 'bninception.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'bninception.pth'))
    for part in (
        InceptionBN(width=0.1, init_cfg=init_cfg),
        InceptionBNTail(width=0.1, init_cfg=init_cfg),
    ):
        part.init_weights()
        for key, value in part.state_dict().items():
            assert torch.equal(value, network.state_dict()[key]), key


def test_the_classifier_is_left_out_by_name(tmp_path):
    weights = InceptionBN(width=0.1, out_layers=('5b',)).state_dict()
    torch.save(as_bninception(weights), tmp_path / 'bninception.pth')
    found = read_published(str(tmp_path / 'bninception.pth'))
    assert found.classifier == ['last_linear.weight', 'last_linear.bias']
    assert found.family == 'bninception'


def test_a_tensor_of_no_layer_is_refused_by_name(tmp_path):
    weights = InceptionBN(width=0.1, out_layers=('5b',)).state_dict()
    file = {**as_bninception(weights), 'inception_3c_1x1.weight': torch.zeros(1)}
    torch.save(file, tmp_path / 'bninception.pth')
    with pytest.raises(UserError, match="such as 'inception_3c_1x1.weight'"):
        read_published(str(tmp_path / 'bninception.pth'))


def test_a_convolution_without_a_bias_gets_one_of_zero(tmp_path):
    weights = InceptionBN(width=0.1, out_layers=('5b',)).state_dict()
    file = as_bninception(weights)
    del file['conv2_3x3.bias']
    torch.save(file, tmp_path / 'bninception.pth')
    found = read_published(str(tmp_path / 'bninception.pth'))
    assert found.added == ['conv2.conv3x3.conv.bias']
    assert not found.weights['conv2.conv3x3.conv.bias'].any()


def test_the_input_norms_fixed_gamma_counts_as_1():
    assert read_published(str(OWN_FILE)).weights['bn_data.weight'].tolist() == [1, 1, 1]


def test_folding_the_input_norm_into_a_preprocessor_changes_no_activation():
    weights = read_published(str(OWN_FILE)).weights
    mean, std = (torch.tensor(values)[:, None, None] for values in normalisation(weights, EPS))
    kept, folded = (InceptionBN(variant='mxnet', width=0.125, out_layers=('3a',)) for _ in '12')
    kept.load_state_dict(weights, strict=False)
    folded.load_state_dict(fold_normalisation(weights, EPS), strict=False)
    image = torch.from_numpy(np.load(FIXTURES / 'mxnet_inception_bn_maps.npz')['image']).float()
    with torch.no_grad():
        expected, found = kept.eval()(image)[0], folded.eval()((image - mean) / std)[0]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_the_epsilon_of_the_input_norm_is_part_of_the_std():
    weights = {f'bn_data.{part}': torch.zeros(3) for part in ('bias', 'running_mean')}
    weights['bn_data.running_var'] = torch.full((3,), EPS)
    _, std = normalisation(weights, EPS)
    assert std == pytest.approx([(2 * EPS) ** 0.5] * 3)


def zoo(monkeypatch):
    """Let the MXNet file of the tests be one of MXNet's model zoo: the same names, no bn_data."""
    published = read_published(str(OWN_FILE))
    for key in [key for key in published.weights if key.startswith('bn_data.')]:
        del published.weights[key]
    monkeypatch.setattr(pretrained, 'read_published', lambda path: published)
    return published


@pytest.mark.parametrize('variant', ['caffe', 'mxnet'])
def test_mxnets_zoo_is_of_its_own_variant(tmp_path, variant, monkeypatch):
    published = zoo(monkeypatch)
    assert published.variants == ('mxnet_zoo',)
    init_cfg = dict(type='Pretrained', checkpoint=str(OWN_FILE))
    backbone = InceptionBN(variant, width=0.125, out_layers=('3a',), init_cfg=init_cfg)
    with pytest.raises(UserError, match="set variant='mxnet_zoo'$"):
        backbone.init_weights()


def test_mxnets_zoo_pools_as_mxnet_and_has_the_epsilon_of_caffe(monkeypatch):
    published = zoo(monkeypatch)
    init_cfg = dict(type='Pretrained', checkpoint=str(OWN_FILE))
    options = dict(width=0.125, out_layers=('conv2',))
    backbone = InceptionBN('mxnet_zoo', init_cfg=init_cfg, **options)
    backbone.init_weights()
    authors = InceptionBN('mxnet', norm_cfg=dict(type='BN', eps=1e-5), **options)
    authors.bn_data = torch.nn.Identity()
    authors.load_state_dict(published.weights, strict=False)
    image = torch.rand(1, 3, 57, 61)
    with torch.no_grad():
        assert torch.equal(*(network.eval()(image)[0] for network in (backbone, authors)))


def test_weights_of_the_other_variant_are_refused():
    init_cfg = dict(type='Pretrained', checkpoint=str(OWN_FILE))
    backbone = InceptionBN(width=0.125, out_layers=('3a',), init_cfg=init_cfg)
    with pytest.raises(UserError, match="set variant='mxnet'"):
        backbone.init_weights()
