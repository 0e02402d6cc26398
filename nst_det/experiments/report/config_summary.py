"""The config of a run in a few lines, its environment, and the commands that repeat it."""

import re
import shlex
from collections.abc import Sequence

from mmdet.registry import MODELS
from mmengine.registry import init_default_scope

from nst_det.config.detector import teacher_options
from nst_det.experiments.report.curves import mean_throughput, most_memory
from nst_det.experiments.run_folder import Run


def summarize(run: Run) -> dict[str, str]:
    """Summarize the settings in which runs differ.

    Args:
        run (Run): The run.

    Returns:
        dict[str, str]: The values by their names, in the order in which they are shown.
    """
    model = run.cfg.get('model', {})
    detector = model.get('student', model)
    backbone = detector.get('backbone', {})
    width = f', width {backbone.width:g}' if 'width' in backbone else ''
    data = _innermost((run.cfg.get('train_dataloader') or {}).get('dataset') or {})
    optimizer = (run.cfg.get('optim_wrapper') or {}).get('optimizer') or {}
    rate, memory = mean_throughput(run), most_memory(run)
    summary = {
        'Role': run.role,
        'Detector': f'{detector.get("type")}, {backbone.get("type")}{width}',
        'Parameters': _parameters(detector, run.cfg.get('default_scope') or 'mmdet'),
        'Trained on': f'{data.get("data_root") or ""}{data.get("ann_file") or ""}',
        'Epochs or iterations': _length(run.cfg.get('train_cfg') or {}),
        'Images per step': str(run.batch_size or '–'),
        'Optimizer': f'{optimizer.get("type", "–")}, learning rate {optimizer.get("lr", "–")}',
        'Seed': '–' if run.seed is None else str(run.seed),
        'Images per second': '–' if rate is None else f'{rate:.3g}',
        'GPU memory': 'no GPU in the log' if memory is None else f'{memory:g} MB',
        'Transfers': '–',
        'Teacher': '–',
        'Checkpoint': '–' if run.checkpoint is None else str(run.checkpoint),
    }
    if run.distilled:
        summary['Transfers'] = '; '.join(map(_transfer, model.get('transfers', [])))
        checkpoints = [teacher.get('checkpoint') or '–' for teacher in teacher_options(model)]
        summary['Teacher'] = ', '.join(map(str, checkpoints)) or '–'
    return summary


def environment(run: Run) -> dict[str, str]:
    """Read the environment of a training from its log.

    Args:
        run (Run): The run.

    Returns:
        dict[str, str]: Versions and devices by name; empty without a log.
    """
    logs = sorted(run.folder.glob('*/*.log'))
    if not logs:
        return {}
    head = logs[-1].read_text(errors='replace')[:8000]
    names = ('Python', 'PyTorch', 'TorchVision', 'OpenCV', 'MMEngine', 'GPU 0', 'CUDA available')
    found = {}
    for name in names:
        match = re.search(rf'^\s*{name}: (.+)$', head, re.M)
        if match:
            found[name] = match[1].strip()
    return found


def commands(runs: Sequence[Run]) -> list[str]:
    """Write the commands that train, test and report the runs again, into new folders.

    Args:
        runs (Sequence[Run]): The runs.

    Returns:
        list[str]: The commands.
    """
    lines, folders = [], []
    for run in runs:
        config, again = shlex.quote(str(run.config_file)), shlex.quote(f'{run.folder}_again')
        checkpoint = run.checkpoint.name if run.checkpoint else 'epoch_N.pth'
        lines += [
            f'python tools/train.py {config} --work-dir {again}',
            f'python tools/test.py {config} {again}/{checkpoint} --work-dir {again}/test '
            f'--out {again}/predictions.pkl',
        ]
        folders.append(again)
    return [*lines, f'python tools/report.py {" ".join(folders)} -o report.html']


def _parameters(detector: dict, scope: str) -> str:
    """The number of parameters of a detector, which is built for that without its weights."""
    init_default_scope(scope)
    try:
        count = sum(parameter.numel() for parameter in MODELS.build(detector).parameters())
    except Exception:  # the config may name classes that do not exist any more
        return '–'
    return f'{count / 1e6:.3g} million'


def _innermost(dataset: dict) -> dict:
    while 'ann_file' not in dataset:
        inner = dataset.get('dataset') or (dataset.get('datasets') or [None])[0]
        if inner is None:
            break
        dataset = inner
    return dataset


def _length(loop: dict) -> str:
    if loop.get('max_epochs'):
        return f'{loop["max_epochs"]} epochs'
    return f'{loop["max_iters"]} iterations' if loop.get('max_iters') else '–'


def _transfer(cfg: dict) -> str:
    layers = cfg.get('layer')
    if layers is None and 'student_layer' in cfg:
        layers = f'{cfg["student_layer"]} ← {cfg.get("teacher_layer")}'
    loss = dict(cfg.get('loss') or {})
    weight = loss.get('loss_weight')
    kernel = (loss.get('kernel') or {}).get('type')
    parts = [str(loss.get('type')), kernel, None if weight is None else f'λ = {_weight(weight)}']
    where = f' at {layers}' if layers else ''
    return ', '.join(part for part in parts if part) + where


def _weight(weight: float | str | dict) -> str:
    """A weight as a config may give it: a number, ``'auto'``, or the ratio that auto aims at."""
    if isinstance(weight, dict):
        return f'auto, ratio {weight["ratio"]:g}' if 'ratio' in weight else 'auto'
    return weight if isinstance(weight, str) else f'{weight:g}'
