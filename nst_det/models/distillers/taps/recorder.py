"""Recording what a detector's modules give during a forward pass."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from nst_det.errors import UserError
from nst_det.models.distillers.taps.dummy_batch import dummy_batch
from nst_det.models.distillers.taps.tap import Tap


class _AllRecorded(BaseException):
    """Leaves a forward pass that nobody needs the rest of; no `except Exception` may stop it."""


@contextmanager
def record(
    detector: nn.Module,
    taps: Sequence[Tap],
    role: str,
    stop_early: bool = False,
    features: list | None = None,
) -> Iterator[list[Tensor | None]]:
    """Record the tapped tensors of the forward pass that runs inside the ``with`` block.

    The hooks live as long as the block, so that a copied, saved or deployed detector carries none.

    Args:
        detector (nn.Module): The detector that runs.
        taps (Sequence[Tap]): What to record.
        role (str): ``'student'`` or ``'teacher'``, for the errors.
        stop_early (bool): Leave the block as soon as the last tap is recorded, so that no later run
            of its module is seen. Defaults to False.
        features (list, optional): Where to put what the detector's ``extract_feat`` returns; the
            block is not left before. Defaults to None.

    Yields:
        list[Tensor or None]: One tensor per tap in their order, None until it is recorded: see
        :meth:`Tap.select`.

    Raises:
        UserError: Where a tapped module does not exist, does not run (that often), runs more than
            once while its tap does not say which run is meant, or where a later module overwrites
            what it returned.
    """
    modules = [tap.module(detector, role) for tap in taps]
    calls = dict.fromkeys(modules, 0)
    tapped: list[Tensor | None] = [None] * len(taps)
    versions: list[int] = [0] * len(taps)

    def keep(module: nn.Module, inputs: Any, output: Any) -> None:
        for i, tap in enumerate(taps):
            if modules[i] is module and calls[module] == (tap.call or 0):
                tapped[i] = tap.select(output, role)
                versions[i] = _version(tapped[i])
        calls[module] += 1
        leave()

    def leave() -> None:
        if stop_early and features != [] and all(one is not None for one in tapped):
            raise _AllRecorded

    def extract(images: Tensor) -> Any:
        features.append(extract_feat(images))
        leave()
        return features[-1]

    handles = [module.register_forward_hook(keep) for module in calls]
    extract_feat = detector.extract_feat if features is not None else None
    if features is not None:
        detector.extract_feat = extract
    try:
        yield tapped
    except _AllRecorded:
        pass
    finally:
        for handle in handles:
            handle.remove()
        if features is not None:
            del detector.extract_feat
    for i, (tap, module) in enumerate(zip(taps, modules)):
        where = f"the {role}'s layer '{tap.path}'"
        if not calls[module]:
            raise UserError(
                f'{where} did not run in its forward pass: '
                'choose a layer that every image goes through'
            )
        count = calls[module]
        if count == 1 and tapped[i] is None:
            raise UserError(f"{where} runs once in a forward pass: write '{tap.path}' without '@'")
        if (count > 1 and tap.call is None) or tapped[i] is None:
            raise UserError(
                f"{where} runs {count} times in a forward pass: choose one, from '{tap.path}@0' to "
                f"'{tap.path}@{count - 1}'"
            )
        if _version(tapped[i]) != versions[i]:
            raise UserError(
                f'{where} returns a map that a later module overwrites in place (a ReLU, or a sum '
                'of branches): choose that module, or the one around both'
            )


def _version(tensor: Tensor) -> int:
    """How often a tensor was written to in place; inference tensors do not count it."""
    return 0 if tensor.is_inference() else tensor._version


@torch.no_grad()
def count_channels(detector: nn.Module, tap: Tap, role: str) -> int:
    """Find out how many channels a tapped map has, by running the detector on noise.

    Args:
        detector (nn.Module): The detector; it is left as it was.
        tap (Tap): The tap.
        role (str): ``'student'`` or ``'teacher'``, for the errors.

    Returns:
        int: C of the map `(N, C, H, W)`.

    Raises:
        UserError: Where the layer does not exist, does not run, or gives no map.
    """
    training = {module: module.training for module in detector.modules()}
    batch = dummy_batch(detector.eval(), (128, 128))
    # Of several runs of one module the first will do, all give as many channels.
    with torch.random.fork_rng(), record(detector, [tap], role, stop_early=True) as tapped:
        detector(**batch, mode='tensor')
    for module, mode in training.items():
        module.training = mode
    return tap.as_map(tapped[0], batch['inputs'].shape, role).shape[1]
