"""Writing a config that adds NST to somebody's detector config."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmdet.registry import MODELS
from mmengine.config import Config
from torch import Tensor, nn

from nst_det.apis.build import build_detector
from nst_det.apis.list_layers import ForwardPass, Layer, list_layers, stride_of
from nst_det.config.load import SCOPE, load_config
from nst_det.config.options import build_part
from nst_det.errors import UserError, one_line
from nst_det.fileio.state_dict import check_fit, read_state_dict
from nst_det.models.distillers.taps.dummy_batch import dummy_batch, padded_shape
from nst_det.models.distillers.taps.recorder import record
from nst_det.models.distillers.taps.tap import Tap
from nst_det.models.distillers.teacher.teacher import RANDOM
from nst_det.models.losses import NSTLoss

TRIAL_IMAGE = 320, 512  # large enough for every level of a pyramid, and quick

Pair = tuple[str, str]
"""A layer of the student's and the teacher's that it learns from."""


@dataclass(frozen=True)
class Addition:
    """What is added to a student's config.

    Args:
        student (str): The student's config: a path or ``'mmdet::…'``.
        teacher (str): The teacher's config: a path or ``'mmdet::…'``.
        checkpoint (str): The teacher's weights: a path or URL, or ``'random'``.
        kernel (dict): The kernel's config.
        loss_weight (float): λ, the sum over the layers.
    """

    student: str
    teacher: str
    checkpoint: str
    kernel: dict
    loss_weight: float


def add_nst(addition: Addition, out: str, pairs: Sequence[Pair] = ()) -> list[str]:
    """Check that a student can learn from a teacher, and write the config in which it does.

    Args:
        addition (Addition): What is added.
        out (str): The file to write, which must not be there yet.
        pairs (Sequence[Pair]): The layers; proposed where there are none. Defaults to ().

    Returns:
        list[str]: What the user should know: the layers and why, and what was not checked.

    Raises:
        UserError: Where something does not exist or does not fit. Nothing is written then.
    """
    file = Path(os.path.abspath(Path(out).expanduser()))
    if file.suffix != '.py':
        raise UserError(f'the config to write is {out}, expected the name of a .py file')
    if file.exists():
        raise UserError(f'{file} exists already: remove it, or choose another name with -o')
    build_part(
        dict(type='NSTLoss', loss_weight=addition.loss_weight, kernel=addition.kernel),
        NSTLoss,
        'loss',
    )
    base = _check_base(addition.student)
    student, teacher = build_detector(base), build_detector(addition.teacher)
    report = _check_checkpoint(teacher, addition.checkpoint)
    canvas = padded_shape(TRIAL_IMAGE, student, teacher)
    passes = [list_layers(detector, canvas, body_only=True) for detector in (student, teacher)]
    if not pairs:
        pairs, why = propose(*passes)
        report.append(f'Layers: {why}.')
    report += check_pairs(student, teacher, passes, pairs)
    if len(pairs) > 1:
        report.append(
            f'λ = {addition.loss_weight:g} is shared by the {len(pairs)} layers, so that NST '
            'weighs as much beside the detection losses as with one'
        )
    _write(file, compose(addition, pairs, base, file.parent))
    return report


def parse_pair(text: str) -> Pair:
    """Read ``'layer'`` or ``'student_layer=teacher_layer'``.

    Args:
        text (str): The text.

    Returns:
        Pair: The two layers.

    Raises:
        UserError: Where one is not spelled as a layer.
    """
    student, _, teacher = text.partition('=')
    pair = student, teacher if '=' in text else student
    for layer in pair:
        Tap(layer)
    return pair


def propose(student: ForwardPass, teacher: ForwardPass) -> tuple[list[Pair], str]:
    """Choose the layers of a transfer.

    Where both detectors have a neck, those are its levels of equal stride, because all that the
    heads do depends on them alone. Coarser levels than the backbone's last map are left out: they
    are made from that one, and of so few positions that their patterns say little. Without a neck
    it is the backbone's last map of stride 16, which is the paper's choice for detection.

    Args:
        student (ForwardPass): The student's layers.
        teacher (ForwardPass): The teacher's.

    Returns:
        tuple[list[Pair], str]: The layers, and why these.

    Raises:
        UserError: Where a detector has no backbone by that name.
    """
    bodies = {
        'student': [layer for layer in student.of('backbone') if not layer.frozen],
        'teacher': teacher.of('backbone'),
    }
    for role, layers in bodies.items():
        if not layers:
            raise UserError(
                f'no layers can be proposed, for no feature map of a module called backbone will '
                f'do in the {role}: name some with --layers; tools/list_layers.py lists them'
            )
    coarsest = max(layer.stride for layer in bodies['student'])
    by_stride = {layer.stride: layer for layer in reversed(teacher.of('neck'))}
    shared = [layer for layer in student.of('neck') if layer.stride in by_stride]
    levels = [layer for layer in shared if layer.stride <= coarsest]
    if levels:
        why = 'both detectors have a neck, and all that the heads see are its levels'
        if levels != shared:
            why += (
                f'; those coarser than stride {coarsest:g}, the last of the backbone, are left out'
            )
        return [(layer.name, by_stride[layer.stride].name) for layer in levels], why
    own = _nearest(bodies['student'], 16)
    other = _nearest(bodies['teacher'], own.stride)
    lacking = [
        role
        for role, forward in [('student', student), ('teacher', teacher)]
        if not forward.of('neck')
    ]
    because = {
        0: 'the necks have no stride in common',
        1: f'the {"".join(lacking)} has no neck',
        2: 'neither detector has a neck',
    }[len(lacking)]
    return [(own.name, other.name)], (
        f"{because}, so the backbone's last map of stride {own.stride:g}"
        + (", the paper's choice for detection" if own.stride == 16 else ', the nearest to 16')
    )


def check_pairs(
    student: nn.Module,
    teacher: nn.Module,
    passes: Sequence[ForwardPass],
    pairs: Sequence[Pair],
) -> list[str]:
    """Check by a forward pass that layers exist, give feature maps, and that the student's learn.

    Args:
        student (nn.Module): The student.
        teacher (nn.Module): The teacher.
        passes (Sequence[ForwardPass]): What is known of the layers of either.
        pairs (Sequence[Pair]): The layers.

    Returns:
        list[str]: A line for each pair, which says where strides differ.

    Raises:
        UserError: Where a layer will not do.
    """
    maps = {
        role: _record(detector, forward, layers, role)
        for role, detector, forward, layers in zip(
            ('student', 'teacher'), (student, teacher), passes, zip(*pairs)
        )
    }
    report = []
    for (layer, teacher_layer), own, other in zip(pairs, maps['student'], maps['teacher']):
        if not own.requires_grad:
            raise UserError(
                f"the student's layer '{layer}' learns nothing: all that leads to it is frozen "
                '(frozen_stages, say); choose a later one'
            )
        strides = [
            stride_of(forward.canvas, one.shape[2:]) for forward, one in zip(passes, (own, other))
        ]
        line = f'  {layer} ({_facts(own, strides[0])}) learns from '
        line += f'{teacher_layer} ({_facts(other, strides[1])})'
        if strides[0] != strides[1]:
            line += ": the teacher's map will be interpolated to the student's size"
        report.append(line)
    return report


def compose(addition: Addition, pairs: Sequence[Pair], base: Config, folder: Path) -> str:
    """The text of the config.

    Args:
        addition (Addition): What is added.
        pairs (Sequence[Pair]): The layers.
        base (Config): The student's config.
        folder (Path): Where the config will lie; what lies there or below it is named relative to
            the config, so that they can move together.

    Returns:
        str: The text.
    """
    same = all(student == teacher for student, teacher in pairs)
    taps = 'layer=layer'
    if not same:
        taps = 'student_layer=student_layer,\n            teacher_layer=teacher_layer'
    layers = '\n'.join(f'    {pair[0] if same else tuple(pair)!r},' for pair in pairs)
    kernel = ', '.join(f'{key}={value!r}' for key, value in addition.kernel.items())
    student, teacher, checkpoint = (
        _place(what, folder, start)
        for what, start in [
            (addition.student, '.'),
            (addition.teacher, '{{ fileDirname }}'),
            (addition.checkpoint, '{{ fileDirname }}'),
        ]
    )
    return f"""\
# {Path(addition.student.split('::')[-1]).stem}, trained with NST: it learns from a teacher as well.
_base_ = {_imported(student)}{student!r}

# What you may want to change.
teacher_config = {teacher!r}
teacher_checkpoint = {checkpoint!r}
kernel = dict({kernel})
loss_weight = {addition.loss_weight!r}  # the paper's lambda, shared by the layers
layers = [{'' if same else "  # the student's, the teacher's"}
{layers}
]

{_imports(base)}model = dict(
    _delete_=True,
    type='NSTDistiller',
    student=_base_.model,
    teacher=dict(config=teacher_config, checkpoint=teacher_checkpoint),
    transfers=[
        dict(
            {taps},
            loss=dict(type='NSTLoss', loss_weight=loss_weight / len(layers), kernel=kernel),
        )
        for {'layer' if same else 'student_layer, teacher_layer'} in layers
    ],
)
"""


def _check_base(path: str) -> Config:
    """Read the student's config, which has to be one that ``_base_`` can inherit."""
    base = load_config(path)
    model = base.get('model')
    if not isinstance(model, dict) or 'type' not in model:
        raise UserError(f'{path} has no model with a type: give the config of a detector')
    if not isinstance(model['type'], str):
        raise UserError(
            f'{path} is a config of the kind that imports its classes, which _base_ cannot '
            'inherit: give one that names its types as text'
        )
    if model['type'] == 'NSTDistiller':
        raise UserError(f'{path} has NST already: edit it, or give the plain student config')
    return base


def _check_checkpoint(teacher: nn.Module, checkpoint: str) -> list[str]:
    if checkpoint == RANDOM:
        return ['The teacher will be untrained, as asked for.']
    if '://' in checkpoint:
        return [f'Not checked: whether {checkpoint} fits the teacher; training will say.']
    check_fit(teacher, read_state_dict(checkpoint), checkpoint, 'teacher')
    return [f'All weights of the teacher are in {checkpoint}.']


def _facts(feature_map: Tensor, stride: float | None) -> str:
    where = 'one position' if stride is None else f'stride {stride:g}'
    return f'{feature_map.size(1)} channels, {where}'


def _nearest(layers: Sequence[Layer], stride: float) -> Layer:
    """The last of the layers whose stride is the closest to one."""
    return max(layers, key=lambda one: (-abs(math.log2(one.stride / stride)), one.flops))


def _record(
    detector: nn.Module, forward: ForwardPass, layers: Sequence[str], role: str
) -> list[Tensor]:
    taps = [Tap(layer) for layer in layers]
    batch = dummy_batch(detector, forward.canvas)
    # What is listed is spelt without doubt. Of another spelling, the whole pass has to tell.
    listed = set(layers) <= {layer.name for layer in forward.layers}
    try:
        with record(detector, taps, role, stop_early=listed) as maps:
            detector(**batch, mode='tensor')
    except UserError:
        raise
    except Exception as error:  # whatever a head may raise
        raise UserError(
            f'{", ".join(layers)} could not be tried, because the {role} '
            f'({type(detector).__name__}) fails in a forward pass: {one_line(error)}'
        ) from error
    return [tap.as_map(one, batch['inputs'].shape, role) for tap, one in zip(taps, maps)]


def _place(what: str, folder: Path, start: str) -> str:
    """How a config in a folder names a file; a URL, a package's config or 'random' stays."""
    if '::' in what or '://' in what or what == RANDOM:
        return what
    file = Path(os.path.abspath(Path(what).expanduser()))
    return f'{start}/{file.relative_to(folder).as_posix()}' if folder in file.parents else str(file)


def _imports(base: Config) -> str:
    """The line that imports nst_det; a list in a config replaces that of its base."""
    if 'custom_imports' not in base:
        return "custom_imports = dict(imports=['nst_det'], allow_failed_imports=False)\n"
    names = base.custom_imports.imports
    names = [names] if isinstance(names, str) else list(names)
    return '' if 'nst_det' in names else f'custom_imports = dict(imports={[*names, "nst_det"]})\n'


def _imported(config: str) -> str:
    """What has to come before a base of ours in mmdet's own tools: mmengine learns of them late."""
    return "__import__('nst_det') and " if config.startswith(SCOPE) else ''


def _write(file: Path, text: str) -> None:
    """Write the config and read it back; where it does not build, it is not left behind."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open('x', encoding='utf-8') as stream:
        stream.write(text)
    try:
        MODELS.build(load_config(str(file)).model)
    except BaseException:
        file.unlink()
        raise
