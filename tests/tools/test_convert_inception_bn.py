"""tools/convert_inception_bn.py as a user runs it."""

import subprocess
import sys

import torch
from locations import ROOT

from nst_det.models import InceptionBN
from nst_det.models.backbones.inception_bn.published_weights import published_names

OWN_FILE = ROOT / 'tests' / 'fixtures' / 'mxnet_inception_bn.params'


def convert(*arguments):
    command = [sys.executable, str(ROOT / 'tools' / 'convert_inception_bn.py')]
    return subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True)


def test_a_converted_file_is_what_the_published_one_is(tmp_path):
    done = convert(OWN_FILE, tmp_path / 'own.pth')
    assert done.returncode == 0, done.stderr
    assert "mxnet names, so variant='mxnet'" in done.stdout
    assert '64 tensors converted' in done.stdout
    assert 'the file ends early, it does not hold inception_3b, inception_3c, ' in done.stdout
    states = []
    for file in (OWN_FILE, tmp_path / 'own.pth'):
        init_cfg = dict(type='Pretrained', checkpoint=str(file))
        backbone = InceptionBN('mxnet', 0.125, ('3a',), init_cfg=init_cfg)
        backbone.init_weights()
        states.append(backbone.state_dict())
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())
    again = convert(OWN_FILE, tmp_path / 'own.pth')
    assert again.returncode == 2
    assert again.stderr.startswith('error: ') and 'exists already' in again.stderr
    assert [file.name for file in tmp_path.iterdir()] == ['own.pth']


def test_a_folded_input_norm_is_given_as_a_preprocessor(tmp_path):
    done = convert(OWN_FILE, tmp_path / 'own.pth', '--fold-bn-data')
    assert 'data_preprocessor=dict(mean=[' in done.stdout


def test_a_file_of_another_kind_is_one_line(tmp_path):
    for content in (b'hello', OWN_FILE.read_bytes()[:5000]):
        (tmp_path / 'in').write_bytes(content)
        done = convert(tmp_path / 'in', tmp_path / 'own.pth')
        assert done.returncode == 2
        assert len(done.stderr.strip().splitlines()) == 1


def test_a_file_with_a_hole_is_refused_by_the_weight_that_is_not_there(tmp_path):
    names = {own: name for name, own in published_names('bninception').items()}
    weights = InceptionBN(width=0.1, out_layers=('5b',)).state_dict()
    file = {names[key]: value for key, value in weights.items() if key in names}
    del file['inception_4b_3x3_bn.bias']
    torch.save(file, tmp_path / 'in.pth')
    done = convert(tmp_path / 'in.pth', tmp_path / 'own.pth')
    assert done.returncode == 2
    assert "lacks 1 of the 414 weights of Inception-BN, such as 'inception_4b.branch_3x3" in (
        done.stderr
    )
    assert not (tmp_path / 'own.pth').exists()
