"""The losses that mmrazor has as well, against mmrazor's own on the same tensors.

mmrazor is no requirement. If it is installed, or its checkout is on the path, its files run without
the ``__init__`` of its packages, which import parts of torch that no longer exist.
"""

import importlib.util
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import torch

from nst_det.models.losses import ATLoss, CWDLoss, KDLoss, MGDLoss, PKDLoss, RKDLoss

PACKAGES = ['', '.models', '.models.losses', '.models.architectures']
PACKAGES += ['.models.architectures.connectors']
VERSION = '1.0.0'


@pytest.fixture(scope='module')
def peer():
    """A function that imports a module of mmrazor by its name."""
    spec = importlib.util.find_spec('mmrazor')
    if spec is None:
        pytest.skip(
            f'mmrazor is not installed: put a checkout of its version {VERSION} on PYTHONPATH, '
            'or install it in an environment of its own'
        )
    root = Path(spec.submodule_search_locations[0])
    before = {name: sys.modules[name] for name in sys.modules if name.split('.')[0] == 'mmrazor'}
    for name in PACKAGES:
        package = sys.modules[f'mmrazor{name}'] = ModuleType(f'mmrazor{name}')
        package.__path__ = [str(root / name.replace('.', '/').lstrip('/'))]
    version = import_module('mmrazor.version').__version__
    print(f'mmrazor {version}, torch {torch.__version__}')
    assert version == VERSION, f'the comparison is written for mmrazor {VERSION}'
    yield lambda name: import_module(f'mmrazor.{name}')
    for name in [name for name in sys.modules if name.split('.')[0] == 'mmrazor']:
        del sys.modules[name]
    sys.modules.update(before)


def feature_maps(images=3):
    generator = torch.Generator().manual_seed(0)
    shape = images, 4, 5, 6
    student, teacher = (
        2 * torch.randn(shape, generator=generator, dtype=torch.float64) + 1 for _ in range(2)
    )
    return student.requires_grad_(), teacher


def check(ours, theirs, student):
    """Both values and both gradients are equal to 1e-6 of their size."""
    gradients = [torch.autograd.grad(value, student)[0] for value in (ours, theirs)]
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=0)
    torch.testing.assert_close(*gradients, rtol=1e-6, atol=1e-6 * gradients[1].abs().max().item())


@pytest.mark.parametrize('temperature', [1.0, 4.0])
def test_cwd_is_mmrazors(peer, temperature):
    theirs = peer('models.losses.cwd').ChannelWiseDivergence(tau=temperature, loss_weight=10)
    student, teacher = feature_maps()
    check(CWDLoss(10.0, temperature)(student, teacher), theirs(student, teacher), student)


def test_pkd_in_code_mode_is_mmrazors(peer):
    theirs = peer('models.losses.pkd_loss').PKDLoss(loss_weight=6)
    student, teacher = feature_maps()
    check(PKDLoss(6.0, 'code')(student, teacher), theirs(student, teacher), student)


def test_mgd_and_its_generator_are_mmrazors(peer):
    loss = peer('models.losses.mgd_loss').MGDLoss(alpha_mgd=0.02)
    connector = peer('models.architectures.connectors.mgd_connector').MGDConnector(4, 4).double()
    ours = MGDLoss(0.02)
    ours.connect(4, 4)
    ours.double().generator.load_state_dict(connector.generation.state_dict())
    student, teacher = feature_maps()
    values = []
    for compute in (
        lambda: ours(student, teacher),
        lambda: loss(connector.forward_train(student), teacher),
    ):
        torch.manual_seed(1)  # the same positions are masked; mmrazor draws in float32 too
        values.append(compute())
    check(*values, student)


@pytest.mark.parametrize(
    ('name', 'weights'), [('DistanceWiseRKD', (25.0, 0.0)), ('AngleWiseRKD', (0.0, 50.0))]
)
def test_rkd_in_code_mode_is_mmrazors(peer, name, weights):
    theirs = getattr(peer('models.losses.relational_kd'), name)()
    student, teacher = feature_maps(images=5)
    check(RKDLoss(1.0, *weights)(student, teacher), theirs(student, teacher), student)


def test_at_in_code_mode_is_mmrazors(peer):
    theirs = peer('models.losses.at_loss').ATLoss(loss_weight=1000.0)
    student, teacher = feature_maps()
    check(ATLoss(1000.0, 'code')(student, teacher), theirs(student, teacher), student)


def test_kd_is_mmrazors(peer):
    theirs = peer('models.losses.kl_divergence').KLDivergence(tau=4.0, loss_weight=2.0)
    student, teacher = (x.flatten(1) for x in feature_maps())
    check(KDLoss(2.0, 4.0)(student, teacher), theirs(student, teacher), student)
