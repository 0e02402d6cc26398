"""tools/convert_inception_bn.py as a user runs it."""

import subprocess

import pytest
import torch
from locations import FIXTURES, TOOLS

from nst_det.models import InceptionBN
from nst_det.models.backbones.inception_bn.published_weights import published_names

OWN_FILE = FIXTURES / 'mxnet_inception_bn.params'


@pytest.fixture
def convert(warm_python):
    """``convert(IN, OUT, …)`` gives the exit status, the output and the error output."""

    def call(*arguments: object) -> tuple[int, str, str]:
        command = [warm_python, TOOLS / 'convert_inception_bn.py', *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    return call


def test_a_converted_file_is_what_the_published_one_is(convert, tmp_path):
    status, out, err = convert(OWN_FILE, tmp_path / 'own.pth')
    assert status == 0, err
    assert "mxnet names, so variant='mxnet'" in out
    assert '64 tensors converted' in out
    assert 'the file ends early, it does not hold inception_3b, inception_3c, ' in out
    states = []
    for file in (OWN_FILE, tmp_path / 'own.pth'):
        init_cfg = dict(type='Pretrained', checkpoint=str(file))
        backbone = InceptionBN('mxnet', 0.125, ('3a',), init_cfg=init_cfg)
        backbone.init_weights()
        states.append(backbone.state_dict())
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())
    status, _, err = convert(OWN_FILE, tmp_path / 'own.pth')
    assert status == 2
    assert err.startswith('error: ') and 'exists already' in err
    assert [file.name for file in tmp_path.iterdir()] == ['own.pth']


def test_a_folded_input_norm_is_given_as_a_preprocessor(convert, tmp_path):
    _, out, _ = convert(OWN_FILE, tmp_path / 'own.pth', '--fold-bn-data')
    assert 'data_preprocessor=dict(mean=[' in out


def test_a_file_of_another_kind_is_one_line(convert, tmp_path):
    for content in (b'hello', OWN_FILE.read_bytes()[:5000]):
        (tmp_path / 'in').write_bytes(content)
        status, _, err = convert(tmp_path / 'in', tmp_path / 'own.pth')
        assert status == 2
        assert len(err.strip().splitlines()) == 1


def test_a_file_with_a_hole_is_refused_by_the_weight_that_is_not_there(convert, tmp_path):
    names = {own: name for name, own in published_names('bninception').items()}
    weights = InceptionBN(width=0.1, out_layers=('5b',)).state_dict()
    file = {names[key]: value for key, value in weights.items() if key in names}
    del file['inception_4b_3x3_bn.bias']
    torch.save(file, tmp_path / 'in.pth')
    status, _, err = convert(tmp_path / 'in.pth', tmp_path / 'own.pth')
    assert status == 2
    assert "lacks 1 of the 414 weights of Inception-BN, such as 'inception_4b.branch_3x3" in err
    assert not (tmp_path / 'own.pth').exists()
