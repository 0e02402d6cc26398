"""The model card beside an export: what it was trained on and with, how good and how fast it is."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mmengine.config import Config

from nst_det.compat.versions import collect_versions
from nst_det.config.detector import is_distiller, teacher_options
from nst_det.export.info import dataset_line, test_dataset
from nst_det.export.latency import Latency
from nst_det.export.origin import Origin
from nst_det.models.losses.auto_weight import AUTO
from nst_det.runtime.model_info import ModelInfo

NOT_GIVEN = 'not given: export with --license'
RUNTIMES = ('onnx', 'onnxruntime', 'openvino')


@dataclass(frozen=True)
class Measured:
    """What was measured of an export.

    Args:
        maps (dict[str, dict[str, float]]): Mean average precisions, by ``'torch'`` or the name of a
            graph, then by key. Empty if they were not measured.
        latency (dict[str, Latency]): By name. Empty if it was not measured.
        conditions (str): The size of the image, the machine and its threads.
        verdict (str): What the verification found.
        test_set (str): What the precisions were measured on.
    """

    maps: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    latency: Mapping[str, Latency] = field(default_factory=dict)
    conditions: str = ''
    verdict: str = ''
    test_set: str = ''


def model_card(
    cfg: Config,
    origin: Origin,
    info: ModelInfo,
    files: Mapping[str, Path],
    measured: Measured,
    license_text: str | None = None,
) -> str:
    """Write the card of an exported student.

    Args:
        cfg (Config): The config that it was exported with.
        origin (Origin): Where its weights come from.
        info (ModelInfo): The description in the export.
        files (Mapping[str, Path]): Files to name with their hashes, by what they are.
        measured (Measured): What was measured.
        license_text (str, optional): The license of the weights. Defaults to None: not given.

    Returns:
        str: The card in Markdown, with a block of YAML in front, as model hubs read it.
    """
    front = ['---', f'license: {json.dumps(license_text or NOT_GIVEN)}', 'tags: [object-detection]']
    parts = [
        '\n'.join([*front, '---']),
        f'# {info.name}, {len(info.classes)} classes',
        '## Training\n\n' + _table(training_facts(cfg, origin)),
        '## Results\n\n' + _results(measured),
        '## Use\n\n' + _table(use_facts(info)),
        '## Files\n\n' + _table({name: _file_line(file) for name, file in files.items()}),
        '## Versions\n\n' + _table({**collect_versions(), **_runtimes()}),
        f'## License\n\n{license_text or NOT_GIVEN}',
    ]
    return '\n\n'.join(parts) + '\n'


def training_facts(cfg: Config, origin: Origin) -> dict[str, str]:
    """Find what a student was trained on and with.

    Args:
        cfg (Config): The config that it was exported with.
        origin (Origin): Where its weights come from.

    Returns:
        dict[str, str]: Values by name.
    """
    meta, trained = origin.meta, origin.cfg
    facts = {'config': str(cfg.filename or 'of the checkpoint')}
    facts['checkpoint'] = _file_line(origin.checkpoint)
    seed = meta.get('seed', (trained.get('randomness') or {}).get('seed'))
    facts['seed'] = 'not known' if seed is None else str(seed)
    for key, name in (('epoch', 'epochs'), ('iter', 'iterations'), ('experiment_name', 'run')):
        if key in meta:
            facts[name] = str(meta[key])
    training = (trained.get('train_dataloader') or {}).get('dataset') or {}
    facts['training set'] = dataset_line(training)
    facts['test set'] = dataset_line(test_dataset(cfg))
    if not is_distiller(trained):
        return {**facts, 'teacher': 'none'}
    for teacher in teacher_options(trained.model):
        name = f'teacher {teacher["name"]}' if teacher.get('name') else 'teacher'
        config = teacher.get('config') or teacher.get('backbone') or {}
        facts[name] = config if isinstance(config, str) else str(_model(config).get('type'))
        checkpoint = teacher.get('checkpoint')
        facts[f'{name} weights'] = (
            _file_line(str(checkpoint)) if checkpoint else 'those that its backbone names'
        )
    measured = iter(origin.measured_weights)
    for i, transfer in enumerate(trained.model.get('transfers') or [], 1):
        facts[f'transfer {i}'] = _transfer_line(transfer, measured)
    return facts


def _transfer_line(transfer: Mapping[str, Any], measured: Iterator[float]) -> str:
    """A transfer with its loss, its layers if it has some, and its weight."""
    loss = transfer.get('loss') or {}
    layer = transfer.get('layer')
    if layer is None and 'student_layer' in transfer:
        layer = f'{transfer["student_layer"]} from {transfer.get("teacher_layer")}'
    where = f' at {layer}' if layer else ''
    if 'teacher' in transfer:
        where += f', teacher {transfer["teacher"]}'
    weight = loss.get('loss_weight', 'the default')
    if isinstance(weight, Mapping) or str(weight).startswith(AUTO):
        value = next(measured, None)
        weight = f'{weight}, measured as {value:.4g}' if value is not None else weight
    return f'{loss.get("type")}{where}, λ = {weight}'


def _model(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The model of a complete config, or the model itself."""
    return config.get('model') or config


def use_facts(info: ModelInfo) -> dict[str, str]:
    """Describe how a model is used.

    Args:
        info (ModelInfo): The description in the export.

    Returns:
        dict[str, str]: Values by name.
    """
    steps = []
    if info.resize is not None:
        width, height = info.resize.scale
        unit = 'times their size' if info.resize.relative else 'pixels'
        ratio = 'at most, ratio kept' if info.resize.keep_ratio else 'ratio not kept'
        steps.append(f'bilinear to {width:g} x {height:g} {unit} ({ratio})')
    if info.pad is not None:
        steps.append(
            f'padded right and below: size {info.pad.size}, multiples of {info.pad.divisor}, '
            f'square {info.pad.square}, colour {list(info.pad.value)}'
        )
    colours = 'BGR' if info.channels == 3 else f'{info.channels} channel(s)'
    masks = {None: 'none', 'box': 'probabilities in each box', 'image': 'logits of the image'}
    return {
        'classes': ', '.join(info.classes),
        'input': f'images: N x {info.channels} x H x W, float32, {colours}, from 0 to 255; all '
        f'images of a batch have one size, in multiples of {info.multiple}',
        'preprocessing before the graph': '; '.join(steps) or 'none',
        'preprocessing in the graph': 'mean, standard deviation, order of channels, padding',
        'output': 'boxes (n x 4, pixels), scores, labels, image_index (n); masks: '
        f'{masks[info.masks]}',
    }


def _results(measured: Measured) -> str:
    lines = [f'Verified against torch: {measured.verdict or "not verified"}.']
    if measured.maps:
        keys = sorted({key for values in measured.maps.values() for key in values})
        lines += ['', f'On the test set {measured.test_set}:', '']
        lines += ['| | ' + ' | '.join(keys) + ' |', '|---' * (len(keys) + 1) + '|']
        for name, values in measured.maps.items():
            cells = [f'{values[key]:.4f}' if key in values else '' for key in keys]
            lines.append(f'| {name} | ' + ' | '.join(cells) + ' |')
    else:
        lines += ['', 'mAP was not measured: export with --verify.']
    if measured.latency:
        lines += ['', f'Latency in ms, median (quartiles); {measured.conditions}:', '']
        lines += ['| | batch 1 |', '|---|---|']
        lines += [f'| {name} | {latency.text()} |' for name, latency in measured.latency.items()]
    return '\n'.join(lines)


def _table(facts: Mapping[str, str]) -> str:
    rows = [f'| {name} | {str(value).replace("|", "/")} |' for name, value in facts.items()]
    return '\n'.join(['| | |', '|---|---|', *rows])


def _runtimes() -> dict[str, str]:
    """The versions of the runtimes that are installed."""
    found = {}
    for name in RUNTIMES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _file_line(file: str | Path) -> str:
    """A file with its SHA-256; a folder with those of its files; a URL alone."""
    path = Path(file)
    if path.is_dir():
        return '; '.join(map(_file_line, sorted(path.iterdir())))
    if not path.is_file():
        return f'{file}' if '://' in str(file) else f'{file} (not here)'
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return f'{path.name}, SHA-256 {digest}, {path.stat().st_size / 1e6:.1f} MB'
