"""Selecting from a checkpoint the weights of a model, and loading them if they fit."""

import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Size, Tensor, nn

from nst_det.errors import UserError
from nst_det.fileio.state_dict import find_meta, find_state_dict, first_parts, read_checkpoint
from nst_det.fileio.weight_names import renamed, without_weights

CANDIDATES = 4  # prefixes that are tried, those under which most weights have a fitting shape
ENOUGH = 0.1  # of a model's weights: fewer are no start for a training
MOST = 0.5  # of a model's weights: with fewer, another detector of the file may be meant
EMPTY = torch.empty(0)
PREFIX_OPTIONS = (
    "prefix='{0}' beside the teacher's checkpoint, load_from_prefix='{0}' beside load_from, or "
    '--prefix {0} of a tool'
)


@dataclass(frozen=True)
class Fit:
    """The comparison of the weights of a checkpoint, or of those under a prefix, with a model.

    Args:
        prefix (str): The prefix; empty for all.
        weights (dict[str, Tensor]): The weights that fit, by the names of the model.
        missing (list[str]): The names of the model that the checkpoint lacks.
        reshaped (list[str]): Descriptions of weights that have another shape in the model.
        unexpected (list[str]): Names of the checkpoint that the model has no place for.
        left_out (dict[str, list[str]]): Names that hold no weights of the model, by what they hold.
        wanted (int): The number of the model's weights, without counters of batch norms.
    """

    prefix: str
    weights: dict[str, Tensor]
    missing: list[str]
    reshaped: list[str]
    unexpected: list[str]
    left_out: dict[str, list[str]]
    wanted: int

    @property
    def count(self) -> int:
        """int: The number of weights that fit, without counters of batch norms."""
        return sum(not _is_counter(name) for name in self.weights)

    @property
    def has_all(self) -> bool:
        """bool: Whether every weight of the model is there, whatever else is."""
        return not (self.missing or self.reshaped)

    @property
    def complete(self) -> bool:
        """bool: Whether every weight of the model is there, and nothing else."""
        return not (self.missing or self.reshaped or self.unexpected)

    @property
    def extent(self) -> tuple[bool, int]:
        """tuple[bool, int]: Whether it is complete, and how many weights fit."""
        return self.complete, self.count


def load_strictly(
    model: nn.Module,
    path: str,
    role: str,
    sha256: str | None = None,
    prefix: str | None = None,
) -> dict[str, Any]:
    """Load a checkpoint into a model that it must fit, in every name and every shape.

    Args:
        model (nn.Module): The model.
        path (str): The checkpoint.
        role (str): What the model is to the user, such as ``'teacher'``, for the error.
        sha256 (str, optional): See :func:`read_checkpoint`. Defaults to None.
        prefix (str, optional): See :func:`find_state_dict`. Defaults to None.

    Returns:
        dict[str, Any]: The checkpoint's ``meta``: see :func:`find_meta`.

    Raises:
        UserError: If the file is no checkpoint, or does not fit: see :func:`select_all`. The model
            is unchanged then.
    """
    checkpoint = read_checkpoint(path, sha256)
    weights = select_all(model, find_state_dict(checkpoint, path, prefix), path, role)
    model.load_state_dict(weights, strict=False)
    print_log(f'All weights of the {role} loaded from {path}', 'current')
    return find_meta(checkpoint)


def select_all(
    model: nn.Module, weights: dict[str, Tensor], path: str, role: str
) -> dict[str, Tensor]:
    """Select all weights of a model from those of a checkpoint.

    What holds no weights is left out by the rules of :mod:`nst_det.fileio.weight_names`. Names that
    the model itself renames, because they are those of an older mmdet, are renamed. If the weights
    stand under exactly one prefix, such as mmrazor's ``architecture.``, it is found.

    Args:
        model (nn.Module): The model.
        weights (dict[str, Tensor]): The weights of the checkpoint by name.
        path (str): The checkpoint, for the log and the error.
        role (str): What the model is to the user, for the log and the error.

    Returns:
        dict[str, Tensor]: The weights by the names of the model.

    Raises:
        UserError: If a weight is missing, unexpected or of another shape, or if the weights fit
            under several prefixes.
    """
    fits = _try_prefixes(model, weights)
    complete = [fit for fit in fits if fit.complete]
    if len(complete) > 1 and complete[0].prefix:
        raise _ambiguous(complete, path, role)
    if not complete:
        best = max(fits, key=lambda fit: fit.extent)
        raise _misfit(model, weights, best, path, role)
    _report(model, weights, complete[0], path, role)
    return complete[0].weights


def select_fitting(
    model: nn.Module, weights: dict[str, Tensor], path: str, role: str
) -> dict[str, Tensor]:
    """Select from a checkpoint the weights of a model that fit, as a start for a training.

    Args:
        model (nn.Module): The model.
        weights (dict[str, Tensor]): The weights of the checkpoint by name.
        path (str): The checkpoint, for the log and the error.
        role (str): What the model is to the user, for the log and the error.

    Returns:
        dict[str, Tensor]: The weights by the names of the model.

    Raises:
        UserError: If fewer than a tenth of the model's weights fit, or as many under several
            prefixes.
    """
    fits = _try_prefixes(model, weights)
    best = max(fits, key=lambda fit: fit.extent)
    if best.count < ENOUGH * best.wanted:
        raise _misfit(model, weights, best, path, role)
    equal = [fit for fit in fits if fit.extent == best.extent]
    if len(equal) > 1 and best.prefix:
        raise _ambiguous(equal, path, role)
    _report(model, weights, best, path, role)
    if not best.complete:
        others = '; '.join(_faults(best))
        print_log(
            f'{path}: {best.count} of the {best.wanted} weights of the {role} fit ({others})',
            'current',
            logging.WARNING,
        )
    return best.weights


def best_fit(model: nn.Module, weights: dict[str, Tensor]) -> Fit:
    """Compare weights with a model, under the prefix where most of them fit.

    Args:
        model (nn.Module): The model.
        weights (dict[str, Tensor]): The weights by name.

    Returns:
        Fit: The comparison.
    """
    return max(_try_prefixes(model, weights), key=lambda fit: (fit.has_all, fit.count))


def _shapes(model: nn.Module) -> dict[str, Size]:
    """The shapes of a model's weights by name."""
    return {
        name: value.shape for name, value in model.state_dict().items() if isinstance(value, Tensor)
    }


def _is_counter(name: str) -> bool:
    """Whether it is the batch counter of a batch norm: no model needs it, and old files lack it."""
    return name.endswith('num_batches_tracked')


def _try_prefixes(model: nn.Module, weights: dict[str, Tensor]) -> list[Fit]:
    """Compare a checkpoint with a model: as it is, and under the prefixes where most fits."""
    known = _shapes(model)
    counts: Counter[str] = Counter()
    for key, value in weights.items():
        for start in [0, *(dot.end() for dot in re.finditer(r'\.', key))]:
            counts[key[:start]] += known.get(key[start:]) == value.shape
    others = [prefix for prefix, count in counts.most_common() if prefix and count]
    parts = [(prefix, _below(weights, prefix)) for prefix in ['', *others[:CANDIDATES]]]
    fits = [_compare(known, part, prefix) for prefix, part in parts]
    if any(fit.complete for fit in fits):
        return fits
    newly_named = [_compare(known, _rename(model, part), prefix) for prefix, part in parts]
    return [max(pair, key=lambda fit: fit.extent) for pair in zip(fits, newly_named)]


def _below(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Select the weights under a prefix, and leave it out of their names."""
    return {
        key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)
    }


def _compare(known: Mapping[str, Size], weights: Mapping[str, Tensor], prefix: str) -> Fit:
    """Compare the weights under a prefix with the shapes of a model."""
    fitting, reshaped, unexpected = {}, [], []
    left_out: dict[str, list[str]] = {}
    for name, value in weights.items():
        kind = without_weights(name)
        if name in known and value.shape == known[name]:
            fitting[name] = value
        elif name in known:
            reshaped.append(f'{name}, {_sides(value.shape)} in place of {_sides(known[name])}')
        elif kind is None:
            unexpected.append(name)
        else:
            left_out.setdefault(kind, []).append(name)
    needed = [name for name in known if not _is_counter(name)]
    missing = [name for name in needed if name not in weights]
    return Fit(prefix, fitting, missing, reshaped, unexpected, left_out, len(needed))


def _sides(shape: Size) -> str:
    return '×'.join(map(str, shape)) or 'one number'


def _rename(model: nn.Module, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give the weights the names that a model gives them when it loads them.

    mmdet's modules rename the weights of older versions inside ``_load_from_state_dict``. That
    method also copies them, so it runs on a copy of the model.
    """
    known = _shapes(model)
    weights = {renamed(name, known): value for name, value in weights.items()}
    found: dict[str, Tensor] = {}
    with torch.no_grad():
        _load_and_collect(deepcopy(model), dict(weights), '', found)
    given = {id(value) for value in weights.values()}
    # A batch norm adds a counter where there is none.
    found = {k: v for k, v in found.items() if id(v) in given or not _is_counter(k)}
    taken = {id(value) for value in found.values()}
    return {**found, **{k: v for k, v in weights.items() if id(v) not in taken}}


def _load_and_collect(
    module: nn.Module, weights: dict[str, Tensor], parent: str, found: dict[str, Tensor]
) -> None:
    """Load a module and those in it, and collect the weights by the names that they get."""
    module._load_from_state_dict(weights, parent, {}, True, [], [], [])
    own = {f'{parent}{name}' for name in (*module._parameters, *module._buffers)}
    found.update({name: value for name, value in weights.items() if name in own})
    for name, child in module._modules.items():
        if child is not None:
            start = f'{parent}{name}.'
            below = {key: value for key, value in weights.items() if key.startswith(start)}
            _load_and_collect(child, below, start, found)


# What the user is told.


def _report(
    model: nn.Module, weights: Mapping[str, Tensor], fit: Fit, path: str, role: str
) -> None:
    """Log what of a checkpoint is read otherwise than written."""
    lines = []
    if fit.prefix:
        lines.append(
            f'the weights of the {role} are those under {fit.prefix!r}, {len(fit.weights)} of the '
            f'{len(weights)} in the file'
        )
    older = [name for name in fit.weights if fit.prefix + name not in weights]
    if older:
        lines.append(f'{len(older)} weights have an older name in it, such as {older[0]}')
    for kind, names in fit.left_out.items():
        lines.append(f'{_number(len(names))} left out: {kind} ({names[0]})')
    for line in lines:
        print_log(f'{path}: {line}', 'current')
    _compare_normalisation(model, {**weights, **_below(weights, fit.prefix)}, path, role)


def _number(count: int) -> str:
    return 'one key is' if count == 1 else f'{count} keys are'


def _compare_normalisation(
    model: nn.Module, weights: Mapping[str, Tensor], path: str, role: str
) -> None:
    """Warn if the images are normalised in another way than when the weights were trained."""
    preprocessor = getattr(model, 'data_preprocessor', None)
    for name in ('mean', 'std'):
        trained = weights.get(f'data_preprocessor.{name}')
        now = getattr(preprocessor, name, None)
        if trained is None or not isinstance(now, Tensor):
            continue
        trained, now = (value.flatten().tolist() for value in (trained.float(), now.cpu().float()))
        if len(trained) != len(now) or not np.allclose(trained, now, rtol=1e-4):
            print_log(
                f'{path} was trained with data_preprocessor.{name}={_rounded(trained)}, and the '
                f'config of the {role} has {name}={_rounded(now)}: the config is followed',
                'current',
                logging.WARNING,
            )


def _rounded(values: list[float]) -> list[float]:
    return [round(value, 3) for value in values]


def _ambiguous(fits: Sequence[Fit], path: str, role: str) -> UserError:
    prefixes = ' and '.join(repr(fit.prefix) for fit in fits)
    return UserError(
        f"checkpoint {path} holds the {role}'s weights under {prefixes}: choose one by "
        f'{PREFIX_OPTIONS.format(fits[0].prefix)}',
        'prefix',
    )


def _misfit(
    model: nn.Module, weights: Mapping[str, Tensor], fit: Fit, path: str, role: str
) -> UserError:
    """Explain why the weights of a checkpoint are not those of a model."""
    kind, count = type(model).__name__, len(_shapes(model))
    inside = f' under {fit.prefix!r}' if fit.prefix else ''
    start = f'checkpoint {path}'
    if fit.weights and not fit.missing and not fit.reshaped:
        return UserError(
            f'{start} holds all weights of the {role} ({kind}){inside}, and '
            f'{len(fit.unexpected)} more, such as {fit.unexpected[0]}: it is of a larger detector; '
            'give the config that the checkpoint was trained with'
        )
    part = _only_part(model, weights)
    if part:
        return UserError(
            f'{start} holds only the weights of a {part}, and none of the rest of the {role} '
            f"({kind}): give it as the {part}'s init_cfg=dict(type='Pretrained', checkpoint=…)"
        )
    faults = '; '.join(_faults(fit))
    if not fit.weights:
        faults += f'; {first_parts(weights)}'
    advice = 'give the config that the checkpoint was trained with'
    if len(fit.weights) < MOST * count:
        advice += f'. If it holds several detectors, name one by {PREFIX_OPTIONS.format("PREFIX.")}'
    return UserError(
        f'{start} is of another architecture than the {role} ({kind}): {len(fit.weights)} of its '
        f'{count} keys fit{inside} ({faults}); {advice}'
    )


def _faults(fit: Fit) -> list[str]:
    """Name what of a checkpoint does not fit."""
    return [
        f'{len(names)} {fault}, such as {names[0]}'
        for names, fault in [
            (fit.missing, 'missing'),
            (fit.unexpected, 'unexpected'),
            (fit.reshaped, 'of another shape'),
        ]
        if names
    ]


def _only_part(model: nn.Module, weights: Mapping[str, Tensor]) -> str | None:
    """The child of a detector whose weights alone, without its name, are in a checkpoint."""
    for name, child in model.named_children():
        shapes = {k: shape for k, shape in _shapes(child).items() if not _is_counter(k)}
        if shapes and all(weights.get(k, EMPTY).shape == shape for k, shape in shapes.items()):
            return name
    return None
