"""Every registered loss on the device: against float64, and against the five products."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmdet.registry import MODELS
from torch import Tensor, nn

from benchmarks.formulations import autograd_over_bmm, broadcast, five_products
from benchmarks.on_gpu.report import Setup
from benchmarks.timing import medians, peak_memory
from nst_det.models.losses import FeatureLoss, PolynomialKernel, loss_classes

# The largest relative error of a value and of a gradient in float32, where a CPU is as exact.
TOLERANCE = 2e-4
TF32 = {'off': (False, False), "torch's default": (False, True), 'on': (True, True)}
IMAGES, STUDENT_CHANNELS, TEACHER_CHANNELS = 4, 96, 160
SIZES = [(19, 31), (8, 10)]  # more positions than channels, and fewer
LARGEST_BROADCAST = 2**31  # bytes of its one largest tensor

FEATURE_LOSSES: dict[str, dict] = {
    'NST, linear': dict(type='NSTLoss', kernel=dict(type='LinearKernel')),
    'NST, polynomial': dict(type='NSTLoss'),
    'NST, polynomial of degree 3 with an offset': dict(
        type='NSTLoss', kernel=dict(type='PolynomialKernel', degree=3, offset=0.5)
    ),
    'NST, Gaussian': dict(type='NSTLoss', kernel=dict(type='GaussianKernel')),
    'NST, Gaussian of fixed width': dict(
        type='NSTLoss', kernel=dict(type='GaussianKernel', sigma_squared=1.0)
    ),
    'NST behind a convolution': dict(
        type='NSTLoss', connector=dict(type='ConvConnector', norm=True)
    ),
    'NST behind an MLP': dict(type='NSTLoss', connector=dict(type='MLPConnector')),
    'AT, paper': dict(type='ATLoss', loss_weight=1.0, mode='paper'),
    'AT, code': dict(type='ATLoss'),
    'FitNet': dict(type='FitNetLoss'),
    'CWD': dict(type='CWDLoss', temperature=2.0),
    'PKD, paper': dict(type='PKDLoss'),
    'PKD, code': dict(type='PKDLoss', mode='code'),
    'MGD': dict(type='MGDLoss', mask_ratio=0.0),  # each device draws other positions
    'FGD': dict(type='FGDLoss'),
    'CKA': dict(type='CKALoss'),
    'SP': dict(type='SPLoss'),
    'RKD, paper': dict(type='RKDLoss', mode='paper'),
    'RKD, code': dict(type='RKDLoss'),
}
LOGIT_LOSSES: dict[str, tuple[dict, str]] = {
    'KD, softmax': (dict(type='KDLoss'), 'softmax'),
    'KD, sigmoid': (dict(type='KDLoss'), 'sigmoid'),
    'LD, paper': (dict(type='LDLoss'), 'edges'),
    'LD, code': (dict(type='LDLoss', mode='code'), 'edges'),
    'CrossKD': (dict(type='CrossKDLoss'), 'corners'),
    'CrossKD, edges': (dict(type='CrossKDLoss'), 'corners of edges'),
    'queries, softmax': (dict(type='MatchedQueryLoss'), 'queries, softmax'),
    'queries, sigmoid': (dict(type='MatchedQueryLoss'), 'queries, sigmoid'),
}


def losses_are_right(setup: Setup) -> Iterator[dict]:
    """Compare the value and the gradient of every loss with float64 on the CPU.

    The tests compare each loss on a CPU with an independent reference in float64.
    """
    tested = {cfg['type'] for cfg in FEATURE_LOSSES.values()}
    tested |= {cfg['type'] for cfg, _ in LOGIT_LOSSES.values()}
    registered = {loss.__name__ for loss in loss_classes()}
    yield dict(what='every registered loss is compared', ok=registered == tested)
    for size in SIZES:
        for padded in (False, True):
            inputs = feature_maps(size, padded)
            for name, cfg in FEATURE_LOSSES.items():
                what = f'{name}, {size[0]}×{size[1]}{", padded" if padded else ""}'
                yield from _compare(what, cfg, inputs, setup.device)
    for name, (cfg, kind) in LOGIT_LOSSES.items():
        yield from _compare(name, cfg, predictions(kind), setup.device)


def losses_cost(setup: Setup) -> Iterator[dict]:
    """Time every loss between feature maps, forward and backward, beside the five products."""
    shapes = [(2, 64, 19, 31)]
    if not setup.small:
        shapes = [(2, 576, 38, 63), (2, 256, 38, 63), (2, 256, 100, 152), (16, 256, 100, 152)]
    for shape in shapes:
        for tf32 in ('off', 'on') if setup.has_gpu else ('off',):
            with _tf32(tf32):
                yield from _cost(shape, tf32, setup)


def _cost(shape: tuple[int, ...], tf32: str, setup: Setup) -> Iterator[dict]:
    torch.manual_seed(0)
    student = torch.randn(shape, device=setup.device).relu().requires_grad_()
    teacher = torch.randn(shape, device=setup.device).relu()
    inputs = dict(student=student, teacher=teacher)
    height, width = shape[2:]
    box = torch.tensor([[1.0, 1.0, width / 2, height / 2]], device=setup.device)
    images, channels = shape[:2]

    def run(formulation):
        student.grad = None
        formulation(student, teacher, PolynomialKernel()).mean().backward()

    ways = {
        'five products': lambda: five_products(student.detach(), teacher),
        'NST, polynomial: autograd over bmm': lambda: run(autograd_over_bmm),
    }
    if 4 * images * channels**2 * height * width <= LARGEST_BROADCAST:
        ways['NST, polynomial: broadcast'] = lambda: run(broadcast)
    for name, cfg in FEATURE_LOSSES.items():
        loss = build(cfg, channels, channels).to(setup.device)

        def step(loss=loss):
            student.grad = None
            loss(**inputs, boxes=[box] * images).backward()

        ways[name] = step
    times = medians(ways, setup.turns, setup.device)
    for name, seconds in times.items():
        yield dict(
            what=name,
            shape='×'.join(map(str, shape)),
            TF32=tf32,
            ms=1e3 * seconds,
            over_products=seconds / times['five products'],
            MiB=peak_memory(ways[name], setup.device) / 2**20,
        )


def build(cfg: dict, student_channels: int, teacher_channels: int) -> nn.Module:
    """Build a loss, with drawn weights in what it trains: some begin as zeros."""
    torch.manual_seed(0)
    loss = MODELS.build(cfg)
    if isinstance(loss, FeatureLoss) and loss.needs_channels:
        loss.connect(student_channels, teacher_channels)
    for parameter in loss.parameters():
        nn.init.normal_(parameter, std=0.05)
    return loss


def feature_maps(size: tuple[int, int], padded: bool) -> dict:
    """Draw feature maps as after a ReLU, with boxes, and with a mask if images are padded."""
    generator = torch.Generator().manual_seed(0)
    student, teacher = (
        torch.randn(IMAGES, channels, *size, generator=generator, dtype=torch.float64).relu()
        for channels in (STUDENT_CHANNELS, TEACHER_CHANNELS)
    )
    mask = None
    if padded:
        mask = torch.ones(IMAGES, 1, *size, dtype=torch.bool)
        mask[0, :, size[0] // 2 :], mask[1, ..., size[1] - 2 :] = False, False
    boxes = [torch.tensor([[0.5, 0.5, 4.5, 3.5], [2.0, 1.0, 7.0, 5.0]])] * IMAGES
    return dict(student=student, teacher=teacher, mask=mask, boxes=boxes)


def predictions(kind: str) -> dict:
    """Draw what a loss between predictions takes."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    def drawn_boxes(*shape: int) -> Tensor:
        return draw(*shape, 4).sigmoid()

    if kind in ('softmax', 'sigmoid'):
        return dict(student=3 * draw(50, 21), teacher=3 * draw(50, 21), sigmoid=kind == 'sigmoid')
    if kind == 'edges':
        return dict(student=draw(50, 4, 17), teacher=draw(50, 4, 17), weights=draw(50).sigmoid())
    if kind.startswith('corners'):
        boxes = [draw(50, 4, 17) for _ in range(2)]
        if kind == 'corners':
            boxes = [
                torch.cat([b[:, :2], b[:, :2] + b[:, 2:] + 0.1], 1)
                for b in (drawn_boxes(50), drawn_boxes(50))
            ]
        return dict(
            student=draw(50, 20),
            teacher=draw(50, 20),
            student_boxes=boxes[0],
            teacher_boxes=boxes[1],
            objects=3.0,
        )
    return dict(
        student=draw(2, 12, 21),
        teacher=draw(2, 15, 21),
        student_boxes=drawn_boxes(2, 12),
        teacher_boxes=drawn_boxes(2, 15),
        sigmoid=kind.endswith('sigmoid'),
    )


def _compare(what: str, cfg: dict, inputs: dict, device: str) -> Iterator[dict]:
    """Compare one loss on one set of inputs with float64, in each setting of TF32."""
    expected = _evaluate(cfg, inputs, 'cpu', torch.float64)
    on_cpu = _errors(_evaluate(cfg, inputs, 'cpu', torch.float32), expected)
    allowed = [max(TOLERANCE, 4 * error) for error in on_cpu]
    for tf32 in TF32 if device == 'cuda' else ['off']:
        with _tf32(tf32):
            found = _evaluate(cfg, inputs, device, torch.float32)
            autocast = _evaluate(cfg, inputs, device, torch.float32, autocast=True)
        errors = _errors(found, expected)
        row = dict(
            what=what,
            TF32=tf32,
            value_error=errors[0],
            gradient_error=errors[1],
            gradient_error_of_a_cpu=on_cpu[1],
            autocast_changes=_errors(autocast, found)[1],
        )
        if tf32 == 'off':  # NaN is not within what is allowed
            row['ok'] = all(error <= most for error, most in zip(errors, allowed))
            row['ok'] &= row['autocast_changes'] <= TOLERANCE
        yield row


def _evaluate(
    cfg: dict, inputs: dict, device: str, dtype: torch.dtype, autocast: bool = False
) -> tuple[Tensor, Tensor]:
    """The value, and the gradient by all tensors of the student, both in float64 on the CPU.

    As in a training, the backward pass is outside of autocast.
    """
    given = {name: _convert(value, device, dtype) for name, value in inputs.items()}
    leaves = [value.requires_grad_() for name, value in given.items() if 'student' in name]
    loss = build(cfg, inputs['student'].shape[1], inputs['teacher'].shape[1]).to(device, dtype)
    with torch.autocast(device, torch.bfloat16, enabled=autocast):
        value = loss(**given)
    gradients = torch.autograd.grad(value, leaves)
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    return value.detach().double().cpu(), flat.double().cpu()


def _convert(value: object, device: str, dtype: torch.dtype) -> object:
    """Copy the tensors of an argument to a device, those of floating-point numbers as a type."""
    if isinstance(value, list):
        return [_convert(item, device, dtype) for item in value]
    if not isinstance(value, Tensor):
        return value
    return value.clone().to(device, dtype if value.is_floating_point() else value.dtype)


def _errors(found: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor]) -> list[float]:
    """The relative errors of the value and of the gradient."""
    pairs = zip(found, expected)
    return [float((a - b).norm() / b.norm().clamp(min=1e-30)) for a, b in pairs]


@contextmanager
def _tf32(name: str) -> Iterator[None]:
    """Set whether matrix products and convolutions may round to TF32."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = TF32[name]
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
