"""Writing a config that adds NST to the config of any detector."""

import math
import os
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

from mmdet.registry import MODELS
from mmengine.config import Config
from torch import Tensor, nn

from nst_det.apis.build import build_detector
from nst_det.apis.config_styles import PurePythonStyle, TextStyle, is_pure, place
from nst_det.apis.list_layers import ForwardPass, Layer, list_layers, stride_of
from nst_det.apis.try_layers import try_layers
from nst_det.config.detector import is_distiller
from nst_det.config.load import load_config
from nst_det.config.options import build_part
from nst_det.config.settings import change
from nst_det.errors import UserError, one_line, refuse_existing
from nst_det.fileio.fit import select_all
from nst_det.fileio.state_dict import read_state_dict
from nst_det.models.distillers.taps.dummy_batch import dummy_batch, image_channels, padded_shape
from nst_det.models.distillers.taps.recorder import record
from nst_det.models.distillers.taps.tap import Tap
from nst_det.models.distillers.teacher.preprocess import check_channels
from nst_det.models.distillers.teacher.teacher import RANDOM
from nst_det.models.losses import NSTLoss
from nst_det.models.losses.auto_weight import AUTO

TRIAL_IMAGE = 320, 512  # large enough for every level of a pyramid, and quick

Pair = tuple[str, str]
"""A layer of the student, and the layer of the teacher that it learns from."""


@dataclass(frozen=True)
class Addition:
    """The addition to a student's config.

    Args:
        student (str): The student's config: a path or ``'mmdet::…'``.
        teacher (str): The teacher's config: a path or ``'mmdet::…'``.
        checkpoint (str): The teacher's weights: a path or URL, or ``'random'``.
        kernel (dict): The kernel's config.
        loss_weight (float or str): λ, the sum over the layers; or ``'auto'``, with which the
            training measures that of each layer. Defaults to ``'auto'``.
        prefix (str, optional): The prefix of the teacher's weights in the checkpoint, if it cannot
            be found. Defaults to None.
    """

    student: str
    teacher: str
    checkpoint: str
    kernel: dict
    loss_weight: float | str = AUTO
    prefix: str | None = None


def add_nst(
    addition: Addition,
    out: str,
    pairs: Sequence[Pair] = (),
    report: Callable[[str], None] = print,
    batches: int = 0,
    changes: Sequence[str] = (),
) -> None:
    """Check that a student can learn from a teacher, and write the config for it.

    Args:
        addition (Addition): The student, the teacher and the loss.
        out (str): The file to write. It may not exist yet.
        pairs (Sequence[Pair]): The layers. Defaults to (): they are chosen.
        report (Callable): Takes each line for the user: the layers and the reason for them, what
            was measured, and what was not checked. Defaults to print.
        batches (int): How many batches of the training data to try the layers on. Layers that
            (almost) no gradient of the detection losses reaches are left out if they were chosen
            here. Defaults to 0, none.
        changes (Sequence[str]): Changes to the written config for that, see
            :func:`nst_det.config.settings.change`. Defaults to none.

    Raises:
        UserError: If something does not exist or does not fit. Nothing is written then.
    """
    file = _absolute(out)
    if file.suffix != '.py':
        raise UserError(f'the config to write is {out}, expected the name of a .py file')
    refuse_existing(file, 'remove it, or choose another name with -o')
    loss = _build_loss(addition)
    layers = choose_layers(addition, pairs, report)
    base = _load_base(addition.student)
    unfinished = file.with_name(f'{file.stem}.part.py')
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        unfinished.write_text(compose(addition, layers, base, file.parent), encoding='utf-8')
        cfg = load_config(str(unfinished))
        MODELS.build(deepcopy(cfg.model))
        if batches:
            change(cfg, changes)
            target = loss.auto_weight.ratio if loss.auto_weight else loss.target_ratio
            starved = try_layers(cfg, batches, target, report)
            kept = [pair for pair in layers if pair[0] not in starved]
            if not pairs and kept and len(kept) < len(layers):
                report(f'Left out: {", ".join(starved)}')
                layers = kept
                unfinished.write_text(compose(addition, layers, base, file.parent), 'utf-8')
        os.replace(unfinished, file)
    finally:
        unfinished.unlink(missing_ok=True)
    report(f'Wrote {out}: {_describe_weight(loss, len(layers))}')


def choose_layers(
    addition: Addition, pairs: Sequence[Pair] = (), report: Callable[[str], None] = print
) -> list[Pair]:
    """Check that a student can learn from a teacher, and choose the layers if none are given.

    Args:
        addition (Addition): The student, the teacher and the loss.
        pairs (Sequence[Pair]): The layers to check. Defaults to (): they are chosen.
        report (Callable): Takes each line for the user. Defaults to print.

    Returns:
        list[Pair]: The layers.

    Raises:
        UserError: If something does not exist or does not fit.
    """
    _build_loss(addition)
    student = build_detector(_load_base(addition.student))
    teacher = build_detector(addition.teacher)
    check_channels(image_channels(student), image_channels(teacher))
    report(_check_checkpoint(teacher, addition))
    shape = padded_shape(TRIAL_IMAGE, student, teacher)
    passes = [list_layers(detector, shape, body_only=True) for detector in (student, teacher)]
    if not pairs:
        pairs, reason = propose(*passes)
        report(f'Layers: {reason}.')
    for line in check_pairs(student, teacher, passes, pairs):
        report(line)
    return list(pairs)


def parse_pair(text: str) -> Pair:
    """Read ``'layer'`` or ``'student_layer=teacher_layer'``.

    Args:
        text (str): The text.

    Returns:
        Pair: The two layers.

    Raises:
        UserError: If one of them is not spelled as a layer.
    """
    student, _, teacher = text.partition('=')
    pair = student, teacher if '=' in text else student
    for layer in pair:
        Tap(layer)
    return pair


def propose(student: ForwardPass, teacher: ForwardPass) -> tuple[list[Pair], str]:
    """Choose the layers of a transfer.

    If both detectors have a neck, they are its levels of equal stride, because everything that the
    heads do depends on these alone. Levels coarser than the backbone's last feature map are left
    out: they are made from that feature map, and have so few positions that their patterns hold
    little. Without a neck it is the backbone's last feature map of stride 16, as in the paper.

    Args:
        student (ForwardPass): The student's layers.
        teacher (ForwardPass): The teacher's layers.

    Returns:
        tuple[list[Pair], str]: The layers, and the reason for them.

    Raises:
        UserError: If a detector has no backbone by that name.
    """
    bodies = {
        'student': [layer for layer in student.useful_in('backbone') if not layer.frozen],
        'teacher': teacher.useful_in('backbone'),
    }
    for role, layers in bodies.items():
        if not layers:
            raise UserError(
                f'no layers can be proposed: the {role} has no suitable feature map in a module '
                'called backbone; name layers with --layers (tools/list_layers.py lists them)'
            )
    coarsest = max(layer.stride for layer in bodies['student'])
    by_stride = {layer.stride: layer for layer in reversed(teacher.useful_in('neck'))}
    shared = [layer for layer in student.useful_in('neck') if layer.stride in by_stride]
    levels = [layer for layer in shared if layer.stride <= coarsest]
    if levels:
        reason = 'both detectors have a neck, and all that the heads see are its levels'
        if levels != shared:
            reason += (
                f'; those coarser than stride {coarsest:g}, the last of the backbone, are left out'
            )
        return [(layer.name, by_stride[layer.stride].name) for layer in levels], reason
    student_layer = _nearest(bodies['student'], 16)
    teacher_layer = _nearest(bodies['teacher'], student_layer.stride)
    stride = student_layer.stride
    reason = f"{_why_no_level(student, teacher)}, so the backbone's last map of stride {stride:g}, "
    reason += "the paper's choice for detection" if stride == 16 else 'the nearest to 16'
    return [(student_layer.name, teacher_layer.name)], reason


def _why_no_level(student: ForwardPass, teacher: ForwardPass) -> str:
    """The reason why no level of the necks can be used."""
    if student.useful_in('neck') and teacher.useful_in('neck'):
        return 'the necks have no stride in common'
    if not student.useful_in('neck') and not teacher.useful_in('neck'):
        return 'neither detector has a neck'
    return f'the {"teacher" if student.useful_in("neck") else "student"} has no neck'


def check_pairs(
    student: nn.Module,
    teacher: nn.Module,
    passes: Sequence[ForwardPass],
    pairs: Sequence[Pair],
) -> list[str]:
    """Check in a forward pass that layers exist, give feature maps, and that the student's learn.

    Args:
        student (nn.Module): The student.
        teacher (nn.Module): The teacher.
        passes (Sequence[ForwardPass]): The known layers of the student and of the teacher.
        pairs (Sequence[Pair]): The layers to check.

    Returns:
        list[str]: A line for each pair, which tells where strides differ.

    Raises:
        UserError: If a layer cannot be used.
    """
    student_layers, teacher_layers = zip(*pairs)
    student_maps = _record(student, passes[0], student_layers, 'student')
    teacher_maps = _record(teacher, passes[1], teacher_layers, 'teacher')
    report = []
    for (layer, teacher_layer), *maps in zip(pairs, student_maps, teacher_maps):
        if not maps[0].requires_grad:
            raise UserError(
                f"the student's layer '{layer}' learns nothing: everything up to it is frozen, for "
                'example by frozen_stages; choose a later layer'
            )
        strides = [
            stride_of(forward.batch_input_shape, feature_map.shape[2:])
            for forward, feature_map in zip(passes, maps)
        ]
        line = f'  {layer} ({_describe(maps[0], strides[0])}) learns from '
        line += f'{teacher_layer} ({_describe(maps[1], strides[1])})'
        if strides[0] != strides[1]:
            line += ": the teacher's map will be interpolated to the student's size"
        report.append(line)
    return report


def compose(addition: Addition, pairs: Sequence[Pair], base: Config, folder: Path) -> str:
    """Write the text of the config.

    Args:
        addition (Addition): The student, the teacher and the loss.
        pairs (Sequence[Pair]): The layers.
        base (Config): The student's config.
        folder (Path): The folder of the new config. Files in it or below it are named relative to
            the config, so that they can move together.

    Returns:
        str: The text.
    """
    same = all(student == teacher for student, teacher in pairs)
    taps = 'layer=layer'
    if not same:
        taps = 'student_layer=student_layer,\n            teacher_layer=teacher_layer'
    layers = '\n'.join(f'    {pair[0] if same else tuple(pair)!r},' for pair in pairs)
    prefix = '' if addition.prefix is None else f', prefix={addition.prefix!r}'
    style_of_base = PurePythonStyle if is_pure(addition.student) else TextStyle
    style = style_of_base(addition.student, base, folder)
    beside, loss = style.folder_of_config, style.kind('NSTLoss')
    kernel = ', '.join(
        f'{key}={style.kind(value) if key == "type" else repr(value)}'
        for key, value in addition.kernel.items()
    )
    if isinstance(addition.loss_weight, str):
        weight, note = 'loss_weight', 'of each layer: the training measures it at its start'
    else:
        weight, note = 'loss_weight / len(layers)', "the paper's lambda, shared by the layers"
    settings = f"""\
# What you may want to change.
teacher_config = {place(addition.teacher, folder, beside)!r}
teacher_checkpoint = {place(addition.checkpoint, folder, beside)!r}
kernel = dict({kernel})
loss_weight = {addition.loss_weight!r}  # {note}
layers = [{'' if same else '  # of the student, of the teacher'}
{layers}
]

{style.imports()}{style.hooks()}model = dict({style.delete}
    type={style.kind('NSTDistiller')},
    student={style.inherited}model,
    teacher=dict(config=teacher_config, checkpoint=teacher_checkpoint{prefix}),
    transfers=[
        dict(
            {taps},
            loss=dict(type={loss}, loss_weight={weight}, kernel=kernel),
        )
        for {'layer' if same else 'student_layer, teacher_layer'} in layers
    ],
)
"""
    name = Path(addition.student.split('::')[-1]).stem
    title = f'# {name}, trained with NST: it learns from a teacher as well.\n'
    return f'{title}{style.base()}\n{settings}'


def _build_loss(addition: Addition) -> NSTLoss:
    config = dict(type='NSTLoss', loss_weight=addition.loss_weight, kernel=addition.kernel)
    return build_part(config, NSTLoss, 'loss')


def _load_base(path: str) -> Config:
    """Load the student's config, which must be one of a plain detector."""
    base = load_config(path)
    model = base.get('model')
    if not isinstance(model, dict) or 'type' not in model:
        raise UserError(f'{path} has no model with a type: give the config of a detector')
    if is_distiller(model):
        raise UserError(f'{path} has NST already: edit it, or give the plain student config')
    return base


def _check_checkpoint(teacher: nn.Module, addition: Addition) -> str:
    file = addition.checkpoint
    if file == RANDOM:
        return "The teacher will be untrained, because its checkpoint is 'random'."
    if '://' in file:
        return f'Not checked: whether {file} fits the teacher; the training will check it.'
    select_all(teacher, read_state_dict(file, prefix=addition.prefix), file, 'teacher')
    return f'All weights of the teacher are in {file}.'


def _describe_weight(loss: NSTLoss, layers: int) -> str:
    """Tell how the weight is found."""
    auto = loss.auto_weight
    if auto is not None:
        return (
            f'λ is measured in the first {auto.iterations} iterations of the training, so that the '
            f'gradient of NST is {auto.ratio:g} times that of the detection losses'
        )
    given = f'λ = {loss.loss_weight:g} as given'
    if layers > 1:
        given += (
            f', shared by the {layers} layers, so that NST has the same weight beside the detection'
            ' losses as with one layer'
        )
    return f'{given}; tools/suggest_weight.py measures it on your data'


def _describe(feature_map: Tensor, stride: float | None) -> str:
    where = 'one position' if stride is None else f'stride {stride:g}'
    return f'{feature_map.size(1)} channels, {where}'


def _nearest(layers: Sequence[Layer], stride: float) -> Layer:
    """The last layer among those with the nearest stride."""
    return max(layers, key=lambda layer: (-abs(math.log2(layer.stride / stride)), layer.flops))


def _record(
    detector: nn.Module, forward: ForwardPass, layers: Sequence[str], role: str
) -> list[Tensor]:
    """Run a detector on a dummy batch and give the feature maps of layers."""
    taps = [Tap(layer) for layer in layers]
    batch = dummy_batch(detector, forward.batch_input_shape)
    # A layer as listed is spelt without ambiguity. For another spelling the complete pass must run.
    listed = set(layers) <= {layer.name for layer in forward.layers}
    try:
        with record(detector, taps, role, stop_early=listed) as tensors:
            detector(**batch, mode='tensor')
    except UserError:
        raise
    except Exception as error:  # a head may raise anything
        raise UserError(
            f'{", ".join(layers)} could not be tried, because the {role} '
            f'({type(detector).__name__}) fails in a forward pass: {one_line(error)}'
        ) from error
    shape = batch['inputs'].shape
    return [tap.as_map(tensor, shape, role) for tap, tensor in zip(taps, tensors)]


def _absolute(path: str) -> Path:
    return Path(os.path.abspath(Path(path).expanduser()))  # unlike resolve() it keeps links
