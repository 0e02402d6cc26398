"""The time and memory of training steps, and of a teacher's pass by its options."""

import copy
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from importlib.util import find_spec

import torch
from mmdet.registry import MODELS
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import nn

import benchmarks.cached_views
from benchmarks.against_mmrazor import PLAIN, measure, open_mmrazor, stepper
from benchmarks.on_gpu.detectors import (
    DISTILLERS,
    INCEPTION_BN,
    build_distiller,
    inception_bn,
    loaded_batch,
)
from benchmarks.on_gpu.report import Setup
from benchmarks.on_gpu.trainings import DEMO
from benchmarks.timing import medians, peak_memory
from nst_det.config.load import load_config
from nst_det.models.distillers.teacher.teacher import Teacher

UNFUSED = 'not fused'
PRECISIONS = ('float32', 'bfloat16', 'float16')
TEACHER_OPTIONS: dict[str, dict] = {
    'the default': {},
    UNFUSED: dict(fuse=False),
    'channels last': dict(channels_last=True),
    'compiled': dict(compile=True),
    'bfloat16': dict(precision='bfloat16'),
    'bfloat16, channels last': dict(precision='bfloat16', channels_last=True),
    'float16': dict(precision='float16'),
}


def steps_cost(setup: Setup) -> Iterator[dict]:
    """Time a plain and a distilled step and the parts of their difference, in each precision."""
    for name, make in DISTILLERS.items():
        cfg = make(setup)
        for precision in PRECISIONS if setup.has_gpu else PRECISIONS[:1]:
            ways = _parts_of_a_step(cfg, precision, setup)
            times = medians(ways, setup.turns, setup.device)
            both = times['plain step'] + times['teacher to its taps']
            for part, seconds in times.items():
                yield dict(
                    what=part,
                    detector=name,
                    precision=precision,
                    ms=1e3 * seconds,
                    over_plain=seconds / times['plain step'],
                    over_plain_and_teacher=seconds / both,
                    MiB=peak_memory(ways[part], setup.device) / 2**20,
                )


def _parts_of_a_step(cfg: dict, precision: str, setup: Setup) -> dict[str, Callable]:
    """The steps as a training runs them, the teacher's pass and the losses of the transfers."""
    data = loaded_batch(setup)
    model = build_distiller(cfg, setup.device)
    wrapper = wrap_optimizer(precision)
    plain = stepper(MODELS.build(copy.deepcopy(cfg.student)), data, setup.device, wrapper=wrapper)
    distilled = stepper(model, data, setup.device, wrapper=wrapper)
    teach = teacher_pass(model, data, precision)
    maps = list(teach().feature_maps.values())
    pairs = [(torch.rand_like(one.float()).requires_grad_(), one) for one in maps]

    def losses() -> None:
        for transfer, (student_map, teacher_map) in zip(model.transfers, pairs):
            transfer.loss(student_map, teacher_map).backward()
            student_map.grad = None

    return {
        'plain step': plain,
        'distilled step': distilled,
        'teacher to its taps': teach,
        'losses alone': losses,
    }


def wrap_optimizer(precision: str) -> Callable:
    """Make the optimizer wrapper of a precision, as a config with ``--amp`` does."""
    if precision == 'float32':
        return OptimWrapper
    return partial(AmpOptimWrapper, dtype=precision, loss_scale='dynamic')


def teacher_pass(model: nn.Module, data: dict, precision: str = 'float32') -> Callable:
    """Make a function that runs the teacher of a distiller on a batch that is on its device."""
    ready = model.data_preprocessor(copy.deepcopy(data), True)
    taps = [tap for transfer in model.transfers for tap in transfer.teacher_taps]
    device = ready['inputs'].device.type

    def run():
        context = nullcontext()
        if precision != 'float32':
            context = torch.autocast(device, getattr(torch, precision))
        with context:
            return model.open_teacher()(
                ready['inputs'], ready['data_samples'], model.data_preprocessor, taps
            )

    return run


def teacher_options(setup: Setup) -> Iterator[dict]:
    """Time the teacher's pass and the distilled step of the main config by the teacher's options.

    The relative difference is that of the feature maps to those of the teacher that is not fused.
    """
    cfg, data = inception_bn(setup), loaded_batch(setup)
    with tempfile.TemporaryDirectory() as folder:
        options = {**TEACHER_OPTIONS, 'from its cache': dict(cache=folder)}
        if setup.small:
            options = {name: options[name] for name in ('the default', UNFUSED, 'from its cache')}
        models = {
            name: build_distiller(cfg, setup.device, **chosen) for name, chosen in options.items()
        }
        passes = {name: teacher_pass(model, data) for name, model in models.items()}
        steps = {name: stepper(model, data, setup.device) for name, model in models.items()}
        plain = build_distiller(cfg, setup.device).student
        first, last = f'{PLAIN}, channels first', f'{PLAIN}, channels last'
        steps[first] = stepper(plain, data, setup.device)
        steps[last] = stepper(copy.deepcopy(plain), data, setup.device, channels_last=True)
        for run in passes.values():
            run()  # counts the calls of the layers
            run()  # compiles
        found = {name: next(iter(run().feature_maps.values())) for name, run in passes.items()}
        expected = found[UNFUSED].double()
        pass_times = medians(passes, setup.turns, setup.device)
        step_times = medians(steps, setup.turns, setup.device)
        for name, seconds in step_times.items():
            row = dict(what=name, step_ms=1e3 * seconds, over_plain=seconds / step_times[first])
            row['step_MiB'] = peak_memory(steps[name], setup.device) / 2**20
            if name in passes:
                difference = (found[name].double() - expected).norm() / expected.norm()
                row.update(
                    pass_ms=1e3 * pass_times[name],
                    pass_MiB=peak_memory(passes[name], setup.device) / 2**20,
                    difference=float(difference),
                    speedups=', '.join(_speedups_of(models[name].open_teacher())),
                )
                limit = 0.05 if 'float16' in name else 5e-3  # convolutions round to TF32
                row['ok'] = row['difference'] < limit
            yield row


def _speedups_of(teacher: Teacher) -> list[str]:
    names = [type(speedup).__name__ for speedup in teacher.speedups or ()]
    return names + (['compiled'] if teacher.compiled and teacher.compiled.passes else [])


def cached_views(setup: Setup) -> Iterator[dict]:
    """Time the step of VOC2007 at 320 pixels with flips, all views in the teacher's cache."""
    if find_spec('timm') is None:
        yield dict(what='cached views', skipped='its teacher is a network of timm')
        return
    for row in benchmarks.cached_views.measure(setup.turns, setup.device, time.perf_counter):
        yield dict(
            what=row['way'],
            ms=1e3 * row['seconds'],
            over_plain=row['over_plain'],
            KiB_a_view=row['bytes_per_view'] / 2**10,
        )


def compiled_teacher(setup: Setup) -> Iterator[dict]:
    """Time the backbone of the main config's teacher, which ends at its tap, compiled by torch."""
    if not setup.has_gpu:
        yield dict(what='compiled teacher', skipped='only on a GPU: compiling takes a minute')
        return
    model = build_distiller(inception_bn(setup), setup.device)
    data = loaded_batch(setup)
    teacher_pass(model, data)()  # fuses the batch norms
    inputs = model.data_preprocessor(copy.deepcopy(data), True)['inputs']
    backbone = model.open_teacher().detector.backbone
    ways: dict[str, Callable] = {}
    compiled: dict[str, float] = {}  # seconds of the first run
    for mode in ('eager', 'default', 'reduce-overhead'):
        network = backbone if mode == 'eager' else torch.compile(backbone, mode=mode)
        for dtype in (torch.float32, torch.bfloat16):

            def run(network=network, dtype=dtype):
                enabled = dtype != torch.float32
                with torch.no_grad(), torch.autocast(setup.device, dtype, enabled=enabled):
                    return network(inputs)[0].clone()

            name = f'{mode}, {dtype}'.replace('torch.', '')
            ways[name] = run
            started = time.monotonic()
            run()
            compiled[name] = time.monotonic() - started
    expected = ways['float32, eager']().double()
    times = medians(ways, setup.turns, setup.device)
    for name, seconds in times.items():
        difference = float((ways[name]().double() - expected).norm() / expected.norm())
        eager = times[f'{name.split(",")[0]}, eager']
        yield dict(
            what=name,
            ms=1e3 * seconds,
            over_eager=seconds / eager,
            difference=difference,
            first_run_s=compiled[name],
        )


def against_mmrazor(setup: Setup) -> Iterator[dict]:
    """Time the distilled step of the main config beside mmrazor's."""
    if setup.mmrazor is None:
        yield dict(what='mmrazor', skipped='no checkout was named: --mmrazor CHECKOUT')
        return
    open_mmrazor(setup.mmrazor.absolute())
    config, side = (str(DEMO), 96) if setup.small else (INCEPTION_BN, 600)
    times = measure(load_config(config).model, side, setup.turns, setup.device)
    for name, seconds in times.items():
        yield dict(what=name, ms=1e3 * seconds, over_plain=seconds / times[PLAIN])
