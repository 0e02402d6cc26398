"""The card of an export tells how its weights were trained, whatever config it is exported with."""

import hashlib

import pytest
import torch
from mmengine.config import Config

from nst_det.config.plain import plain_config
from nst_det.export.model_card import Measured, model_card, training_facts
from nst_det.export.origin import Origin, read_origin
from nst_det.models.distillers.auto_weights import AUTO_WEIGHTS
from nst_det.runtime.model_info import ModelInfo

LAYERS = dict(student_layer='neck[0]', teacher_layer='backbone/16')


@pytest.fixture
def cfg(tiny_distiller):
    cfg = tiny_distiller()
    cfg.model.transfers[0].loss.loss_weight = 'auto'
    cfg.model.teacher.config = 'mmdet::teacher.py'
    return cfg


@pytest.fixture
def trained(tmp_path):
    """``trained(cfg)`` gives a checkpoint as a training with this config leaves it."""

    def save(cfg, **content):
        info = {AUTO_WEIGHTS: dict(loss_nst_layer=dict(weight=641.679, ratio=20.0))}
        meta = dict(cfg=cfg.pretty_text, seed=3, epoch=2)
        content = dict(state_dict={}, meta=meta, message_hub=dict(runtime_info=info), **content)
        torch.save(content, tmp_path / 'epoch_2.pth')
        return str(tmp_path / 'epoch_2.pth')

    return save


def test_by_the_plain_config_the_card_of_a_taught_student_names_teacher_and_measured_weight(
    cfg, trained
):
    plain = plain_config(cfg)
    facts = training_facts(plain, read_origin(trained(cfg), plain))
    assert facts['seed'] == '3'
    assert facts['teacher'] == 'mmdet::teacher.py'
    assert 'SHA-256' in facts['teacher weights']
    assert facts['checkpoint'].startswith('epoch_2.pth, SHA-256')
    assert 'λ = auto, measured as 641.7' in facts['transfer 1']


def test_by_the_config_of_a_distiller_the_card_of_a_plain_training_names_no_teacher(cfg, trained):
    facts = training_facts(cfg, read_origin(trained(plain_config(cfg)), cfg))
    assert facts['teacher'] == 'none'


def test_a_checkpoint_without_a_config_was_trained_by_the_given_one(cfg, tmp_path):
    torch.save(dict(state_dict={}), tmp_path / 'bare.pth')
    facts = training_facts(cfg, read_origin(str(tmp_path / 'bare.pth'), cfg))
    assert facts['teacher'] == 'mmdet::teacher.py'
    assert 'λ = auto' in facts['transfer 1']
    assert 'measured' not in facts['transfer 1']


def test_the_card_names_what_map_was_measured_on_and_the_runtime(cfg, trained, tmp_path):
    (tmp_path / 'model.onnx').write_bytes(b'graph')
    measured = Measured(maps={'torch': {'mAP': 0.5}}, test_set='VOC test.txt, 60 images')
    origin, info = read_origin(trained(cfg), Config({})), ModelInfo('X', ('a',))
    card = model_card(cfg, origin, info, {'model': tmp_path / 'model.onnx'}, measured)
    assert 'On the test set VOC test.txt, 60 images:' in card
    assert '| onnxruntime | ' in card
    assert hashlib.sha256(b'graph').hexdigest() in card


def facts(teacher, *transfers):
    model = dict(type='NSTDistiller', teacher=teacher, transfers=list(transfers))
    cfg = Config(dict(model=model))
    return training_facts(cfg, Origin('no_such_file.pth', cfg, {}))


def test_a_transfer_is_told_with_its_layers_if_it_has_some():
    found = facts(
        dict(config='large.py', checkpoint='no_such_file.pth'),
        dict(layer='neck[1]', loss=dict(type='NSTLoss')),
        dict(**LAYERS, loss=dict(type='CWDLoss', loss_weight=3)),
        dict(loss=dict(type='KDLoss', loss_weight='auto')),
    )
    assert found['teacher'] == 'large.py'
    assert found['teacher weights'] == 'no_such_file.pth (not here)'
    assert found['transfer 1'] == 'NSTLoss at neck[1], λ = the default'
    assert found['transfer 2'] == 'CWDLoss at neck[0] from backbone/16, λ = 3'
    assert found['transfer 3'] == 'KDLoss, λ = auto'


def test_each_of_several_teachers_is_told_and_which_one_a_transfer_reads():
    found = facts(
        [
            dict(name='large', config='large.py', checkpoint='no_such_file.pth'),
            dict(name='far', config='far.py', checkpoint='https://host/far.pth'),
            dict(name='bare', backbone=dict(type='TimmBackbone', pretrained=True)),
        ],
        dict(loss=dict(type='KDLoss'), teacher='large'),
    )
    assert found['teacher large'] == 'large.py'
    assert found['teacher far weights'] == 'https://host/far.pth'
    assert found['teacher bare'] == 'TimmBackbone'
    assert found['teacher bare weights'] == 'those that its backbone names'
    assert found['transfer 1'] == 'KDLoss, teacher large, λ = the default'
