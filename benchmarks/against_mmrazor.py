"""Time a training step distilled by nst_det and by mmrazor 1.0.0: same detectors, tap and images.

mmrazor is not installed; name a checkout of its repository. Its modules run unchanged, but without
the ``__init__`` of its packages, which import parts of torch that no longer exist.
"""

import argparse
import copy
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType

import torch
from mmdet.registry import MODELS
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from terminaltables import GithubFlavoredMarkdownTable
from torch import Tensor, nn

from benchmarks.formulations import broadcast
from benchmarks.timing import medians
from benchmarks.training_step import CONFIG, batch
from nst_det.cli import user_errors
from nst_det.config.load import load_config
from nst_det.engine.hooks.channels_last_hook import store_channels_last
from nst_det.errors import UserError
from nst_det.models.backbones import InceptionBN
from nst_det.models.distillers.teacher.bare_backbone import teacher_model
from nst_det.models.losses import PolynomialKernel, nst_mmd2

PLAIN, OURS = 'plain student', 'nst_det, NST'
PACKAGES = ['', '.models', '.models.algorithms', '.models.algorithms.distill']
PACKAGES += ['.models.algorithms.distill.configurable', '.models.distillers', '.models.losses']
PACKAGES += ['.models.task_modules', '.models.utils', '.utils']


class NST(nn.Module):
    """The loss of NST with the argument names of mmrazor.

    Args:
        mmd2 (Callable): :func:`nst_mmd2`, or another formulation of it.
    """

    def __init__(self, mmd2) -> None:
        super().__init__()
        self.mmd2 = mmd2

    def forward(self, s_feature: Tensor, t_feature: Tensor) -> Tensor:
        return self.mmd2(s_feature, t_feature, PolynomialKernel()).mean()


def open_mmrazor(checkout: Path) -> None:
    """Make the distillation of mmrazor importable."""
    if not (checkout / 'mmrazor' / 'models' / 'distillers').is_dir():
        raise UserError(
            f'{checkout} is no checkout of mmrazor: it has no mmrazor/models/distillers'
        )
    for name in PACKAGES:
        package = sys.modules[f'mmrazor{name}'] = ModuleType(f'mmrazor{name}')
        package.__path__ = [str(checkout / 'mmrazor' / name.replace('.', '/').lstrip('/'))]
    parts = sys.modules['mmrazor.models.task_modules']
    parts.RecorderManager = import_module('mmrazor.models.task_modules.recorder').RecorderManager
    parts.DistillDeliveryManager = import_module(
        'mmrazor.models.task_modules.delivery'
    ).DistillDeliveryManager
    misc = import_module('mmrazor.models.utils.misc')
    sys.modules['mmrazor.models.utils'].add_prefix = misc.add_prefix
    sys.modules['mmrazor.utils'].register_all_modules = lambda *_: None  # for mmengine
    import_module('mmrazor.models.losses.at_loss')
    import_module('mmrazor.models.distillers.configurable_distiller')
    import_module('mmrazor.models.algorithms.distill.configurable.single_teacher_distill')


def build_mmrazor(cfg: dict, loss: dict) -> BaseModel:
    """Build the distillation of mmrazor for the student and the first tap of a config."""
    registry = import_module('mmrazor.registry').MODELS
    layer = cfg.transfers[0].layer
    recorders = dict(tap=dict(type='ModuleOutputs', source=layer))
    return registry.build(
        dict(
            type='SingleTeacherDistill',
            _scope_='mmrazor',
            architecture=MODELS.build(copy.deepcopy(cfg.student)),
            teacher=MODELS.build(teacher_model(cfg.teacher)),
            distiller=dict(
                type='ConfigurableDistiller',
                student_recorders=recorders,
                teacher_recorders=recorders,
                distill_losses=dict(loss_tap=loss),
                loss_forward_mappings=dict(
                    loss_tap=dict(
                        s_feature=dict(from_student=True, recorder='tap'),
                        t_feature=dict(from_student=False, recorder='tap'),
                    )
                ),
            ),
        )
    )


def build_nst_det(cfg: dict, loss: dict, **options) -> BaseModel:
    """Build the distiller of a config with an untrained teacher and another loss at its tap."""
    cfg = copy.deepcopy(cfg)
    cfg.teacher.update(checkpoint='random', **options)
    cfg.monitor_interval = 0
    cfg.transfers = [dict(layer=cfg.transfers[0].layer, loss=loss)]
    return MODELS.build(cfg)


def stepper(
    model: BaseModel,
    data: dict,
    device: str,
    channels_last: bool = False,
    wrapper: Callable[..., OptimWrapper] = OptimWrapper,
) -> Callable[[], dict]:
    """Make a function that runs a complete training step, preprocessing and optimizer included."""
    torch.manual_seed(0)
    model.init_weights()
    model.to(device)
    if channels_last:
        store_channels_last(model, (device,))
    model.train()
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = wrapper(optimizer=torch.optim.SGD(weights, lr=1e-4, momentum=0.9))

    def step():
        torch.manual_seed(0)  # the same regions are sampled every time
        return model.train_step(copy.deepcopy(data), optimizer)

    return step


def inception_bn_pair() -> dict:
    """The student of VOC2007 at 320 pixels, and as its teacher the same detector of full width.

    A recorder of mmrazor finds a layer by its name, not by its stride.
    """
    cfg = load_config(str(CONFIG)).model
    teacher = copy.deepcopy(cfg.student)
    teacher.backbone.width = teacher.roi_head.shared_head.width = 1.0
    of_4b, of_5b = (InceptionBN.taps(1.0)[block].channels for block in ('4b', '5b'))
    teacher.rpn_head.in_channels = teacher.roi_head.bbox_roi_extractor.out_channels = of_4b
    teacher.roi_head.bbox_head.in_channels = of_5b
    cfg.teacher = dict(config=teacher, checkpoint='random')
    cfg.transfers = [dict(layer='backbone.inception_4b')]
    return cfg


def measure(
    cfg: dict,
    side: int,
    turns: int,
    device: str,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Time the training steps of both, and of the plain student.

    Args:
        cfg (dict): The model of a distiller's config.
        side (int): Height and width of the images in pixels.
        turns (int): How often each one is timed.
        device (str): ``'cpu'`` or ``'cuda'``.
        clock (Callable): Tells the time: see :func:`medians`.

    Returns:
        dict[str, float]: The median time of each in seconds.
    """
    images = batch(2, 'cpu', side)
    data = dict(inputs=list(images['inputs']), data_samples=images['data_samples'])
    nst = dict(type='NSTLoss', loss_weight=50.0)
    at = dict(type='ATLoss', loss_weight=1.0, mode='code')
    channels_first = partial(stepper, data=data, device=device)
    channels_last = partial(channels_first, channels_last=True)
    with tempfile.TemporaryDirectory() as cache:
        steps = {
            PLAIN: channels_first(MODELS.build(copy.deepcopy(cfg.student))),
            f'{PLAIN}, channels last': channels_last(MODELS.build(copy.deepcopy(cfg.student))),
            OURS: channels_last(build_nst_det(cfg, nst)),
            f'{OURS}, channels first': channels_first(build_nst_det(cfg, nst)),
            f'{OURS}, its teacher cached': channels_last(build_nst_det(cfg, nst, cache=cache)),
            'nst_det, AT': channels_last(build_nst_det(cfg, at)),
        }
        theirs = {
            'mmrazor, AT': dict(type='ATLoss'),
            "mmrazor, NST by nst_det's loss": dict(type=NST, mmd2=nst_mmd2),
            'mmrazor, NST by the broadcast': dict(type=NST, mmd2=broadcast),
        }
        for name, loss in theirs.items():
            steps[name] = channels_first(build_mmrazor(cfg, loss))
        return medians(steps, turns, device, clock)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('checkout', type=Path, help="a checkout of mmrazor's repository")
    parser.add_argument(
        '--config', help='config of a distiller (default: two Inception-BN for VOC2007)'
    )
    parser.add_argument('--side', type=int, default=320, help='of the images, in pixels')
    parser.add_argument('--turns', type=int, default=7, help='how often each one is timed')
    parser.add_argument(
        '--cpu-time', action='store_true', help='count the time in which the process computes'
    )
    args = parser.parse_args()
    open_mmrazor(args.checkout.absolute())
    MMLogger.get_instance('against_mmrazor', log_level='ERROR')
    init_default_scope('mmdet')
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    cfg = load_config(args.config).model if args.config else inception_bn_pair()
    clock = time.process_time if args.cpu_time else time.perf_counter
    times = measure(cfg, args.side, args.turns, device, clock)
    rows = [['step', 'ms', '× plain step', '× nst_det']]
    for name, seconds in times.items():
        over = f'{seconds / times[PLAIN]:.2f}', f'{seconds / times[OURS]:.2f}'
        rows.append([name, f'{1e3 * seconds:.1f}', *over])
    print(f'{platform.processor() or device}, {torch.get_num_threads()} threads of torch', end=' ')
    print(f'{torch.__version__}\n\n{GithubFlavoredMarkdownTable(rows).table}')


if __name__ == '__main__':
    with user_errors():
        main()
