"""Recording what the modules of a detector take and return during a forward pass."""

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from nst_det.errors import UserError
from nst_det.models.distillers.taps.dummy_batch import dummy_batch
from nst_det.models.distillers.taps.geometry import compute_strides
from nst_det.models.distillers.taps.tap import Tap

Note = Callable[[int, Any], None]


class _Complete(BaseException):
    """Leaves a forward pass early.

    Not an ``Exception``, because many detectors contain an ``except Exception``.
    """

    def __init__(self, recorder: 'Recorder') -> None:
        self.recorder = recorder


class Recorder:
    """Notes inputs and outputs of modules, as long as a ``with`` block lasts.

    It registers hooks, and wraps the ``forward`` method of each module as well: mmdet calls the
    ``forward`` method of many heads directly, which skips hooks. At the end of the block all hooks
    and wrappers are removed, so a detector that is copied, saved or exported later is unchanged.

    Each ``note`` is called with the number of the call of the module, counted from 0, and with what
    the module takes or returns.

    Args:
        is_complete (Callable, optional): Asked after each note. Once it returns True, the rest of
            the block is skipped, and the program continues after the block. Defaults to None: the
            block runs to its end.
    """

    def __init__(self, is_complete: Callable[[], bool] | None = None) -> None:
        self.is_complete = is_complete
        self.wrapped = ExitStack()

    def __enter__(self) -> 'Recorder':
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> bool:
        self.wrapped.close()
        return isinstance(error, _Complete) and error.recorder is self

    def on_input(self, module: nn.Module, note: Note) -> None:
        """Note the inputs of each call of a module, before the call.

        Args:
            module (nn.Module): The module.
            note (Callable): Takes the number of the call and the inputs: a tuple; or if some inputs
                are given by name, a dict with the positional ones under 0, 1, ….
        """
        calls = itertools.count()

        def call(original: Callable, *args: Any, **kwargs: Any) -> Any:
            by_key: dict[Any, Any] = {**dict(enumerate(args)), **kwargs}
            self._take(note, next(calls), by_key if kwargs else args)
            return original(*args, **kwargs)

        self._wrap(module, 'forward', call)

    def on_output(self, module: nn.Module, note: Note, method: str = 'forward') -> None:
        """Note the output of each call of a module, after the call.

        Args:
            module (nn.Module): The module.
            note (Callable): Takes the number of the call and the output, as changed by the hooks
                that other code registered on the module.
            method (str): The method to call. Defaults to ``'forward'``.
        """
        calls = itertools.count()
        is_hooked = False  # whether the hook below will see the output of the call that begins

        def begin(module: nn.Module, inputs: Any) -> None:
            nonlocal is_hooked
            is_hooked = True

        def call(original: Callable, *args: Any, **kwargs: Any) -> Any:
            nonlocal is_hooked
            hooked, is_hooked = is_hooked, False
            output = original(*args, **kwargs)
            if not hooked:
                self._take(note, next(calls), output)
            return output

        def end(module: nn.Module, inputs: Any, output: Any) -> None:
            self._take(note, next(calls), output)

        if method == 'forward':
            self.wrapped.callback(module.register_forward_pre_hook(begin).remove)
            self.wrapped.callback(module.register_forward_hook(end).remove)
        self._wrap(module, method, call)

    def _wrap(self, module: nn.Module, method: str, call: Callable) -> None:
        original = getattr(module, method)
        if method in vars(module):
            self.wrapped.callback(setattr, module, method, original)
        else:
            self.wrapped.callback(delattr, module, method)
        setattr(module, method, functools.wraps(original)(functools.partial(call, original)))

    def _take(self, note: Note, call: int, value: Any) -> None:
        note(call, value)
        if self.is_complete is not None and self.is_complete():
            raise _Complete(self)


class _TapReading:
    """The tensor that a tap reads in a forward pass.

    Args:
        tap (Tap): The tap.
        role (str): ``'student'`` or ``'teacher'``, for the errors.
        tensors (list[Tensor or None]): Where to put the tensor.
        position (int): At which index of that list.
    """

    def __init__(self, tap: Tap, role: str, tensors: list[Tensor | None], position: int) -> None:
        self.tap = tap
        self.role = role
        self.tensors = tensors
        self.position = position
        self.calls = 0
        self.version = 0

    def note(self, call: int, value: Any) -> None:
        """Keep the tensor if this is the call that the tap names."""
        self.calls = call + 1
        if call == (self.tap.call or 0):
            tensor = self.tap.select(value, self.role)
            self.tensors[self.position] = tensor
            self.version = _version(tensor)

    def check(self) -> None:
        """Check, after the forward pass, that the tensor is there, is the only one and is intact.

        Raises:
            UserError: If it is not.
        """
        tap, calls = self.tap, self.calls
        where = f"the {self.role}'s layer '{tap.path}'"
        spelling = f'{tap.prefix}{tap.path}'
        tensor = self.tensors[self.position]
        if not calls:
            raise UserError(
                f'{where} did not run in its forward pass: '
                'choose a layer that every image goes through'
            )
        if calls == 1 and tensor is None:
            raise UserError(f"{where} runs once in a forward pass: write '{spelling}' without '@'")
        if (calls > 1 and tap.call is None) or tensor is None:
            raise UserError(
                f"{where} runs {calls} times in a forward pass: choose one, from '{spelling}@0' to "
                f"'{spelling}@{calls - 1}'"
            )
        if _version(tensor) == self.version:
            return
        if tap.reads_input:
            raise UserError(
                f'{where} takes a feature map that this layer, or a later one, overwrites in place '
                '(a ReLU, or a sum of branches): choose the output of the layer that overwrites it'
            )
        raise UserError(
            f'{where} returns a feature map that a later module overwrites in place (a ReLU, or a '
            'sum of branches): choose that module, or the one around both'
        )


@contextmanager
def record(
    detector: nn.Module,
    taps: Sequence[Tap],
    role: str,
    stop_early: bool = False,
    head_inputs: list | None = None,
    record_head_inputs: Callable[[Recorder, Note], None] | None = None,
) -> Iterator[list[Tensor | None]]:
    """Record the tapped tensors of the forward pass that runs inside the ``with`` block.

    Args:
        detector (nn.Module): The detector that runs.
        taps (Sequence[Tap]): What to record.
        role (str): ``'student'`` or ``'teacher'``, for the errors.
        stop_early (bool): Leave the block as soon as everything is recorded. A later call of a
            tapped module is then not noticed. Defaults to False.
        head_inputs (list, optional): A list to which to append what the detector's heads take.
            Defaults to None: it is not recorded.
        record_head_inputs (Callable, optional): Registers on a recorder what notes that. Defaults
            to None; needed with ``head_inputs``.

    Yields:
        list[Tensor or None]: One tensor per tap, in their order; None until it is recorded. See
        :meth:`Tap.select`.

    Raises:
        UserError: If a tapped module does not exist, runs less often than its tap says or not at
            all, or runs more than once while its tap names no call; or if the recorded tensor is
            overwritten in place.
    """
    modules = [tap.module(detector, role) for tap in taps]
    tensors: list[Tensor | None] = [None] * len(taps)
    readings = [_TapReading(tap, role, tensors, i) for i, tap in enumerate(taps)]

    def is_complete() -> bool:
        return head_inputs != [] and all(tensor is not None for tensor in tensors)

    with Recorder(is_complete if stop_early else None) as recorder:
        for module, reading in zip(modules, readings):
            register = recorder.on_input if reading.tap.reads_input else recorder.on_output
            register(module, reading.note)
        if head_inputs is not None and record_head_inputs is not None:
            record_head_inputs(recorder, lambda call, output: head_inputs.append(output))
        yield tensors
    for reading in readings:
        reading.check()


def _version(tensor: Tensor) -> int:
    """How often a tensor was written to in place; inference tensors do not count it."""
    return 0 if tensor.is_inference() else tensor._version


@torch.no_grad()
def count_channels(detector: nn.Module, tap: Tap, role: str) -> int:
    """Count the channels of a tapped feature map by running the detector on a dummy batch.

    Args:
        detector (nn.Module): The detector; it is left as it was.
        tap (Tap): The tap.
        role (str): ``'student'`` or ``'teacher'``, for the errors.

    Returns:
        int: C of the feature map `(N, C, H, W)`.

    Raises:
        UserError: If the layer does not exist, does not run, or gives no feature map.
    """
    # The first of several calls of the module is enough: all give equally many channels.
    with (
        _dummy_pass(detector, (128, 128)) as (batch, run),
        record(detector, [tap], role, stop_early=True) as tensors,
    ):
        run()
    return tap.as_map(tensors[0], batch['inputs'].shape, role).shape[1]


@torch.no_grad()
def pick_by_stride(detector: nn.Module, tap: Tap, role: str) -> Tap:
    """Turn a tap that names a stride, on a module of several feature maps, into one of these.

    The detector runs on a dummy batch once. Of several feature maps of one stride, such as the
    blocks of a transformer, the last is picked.

    Args:
        detector (nn.Module): The detector; it is left as it was.
        tap (Tap): The tap, such as ``'backbone/16'``.
        role (str): ``'student'`` or ``'teacher'``, for the errors.

    Returns:
        Tap: A tap such as ``'backbone[1]'``. The tap itself if it names no stride, or if its
        module gives a single tensor.

    Raises:
        UserError: If the module does not exist, or none of its feature maps has the stride.
    """
    module = tap.module(detector, role)
    if tap.stride is None or tap.picks:
        return tap
    values: list[Any] = []
    with (
        _dummy_pass(detector, (256, 256)) as (batch, run),
        Recorder(is_complete=lambda: bool(values)) as recorder,
    ):
        register = recorder.on_input if tap.reads_input else recorder.on_output
        register(module, lambda call, value: values.append(value))
        run()
    feature_maps = values[0] if values else None
    if tap.reads_input and feature_maps is not None and len(feature_maps) == 1:
        (feature_maps,) = feature_maps.values() if isinstance(feature_maps, dict) else feature_maps
    if not (
        isinstance(feature_maps, (tuple, list))
        and len(feature_maps) > 1
        and all(isinstance(value, Tensor) and value.ndim == 4 for value in feature_maps)
    ):
        return tap
    strides = [
        round(max(compute_strides(batch['inputs'].shape[2:], feature_map.shape[2:])))
        for feature_map in feature_maps
    ]
    if tap.stride not in strides:
        plain = tap.layer.removesuffix(f'/{tap.stride}')
        choices = ' or '.join(f"'{plain}/{stride}'" for stride in dict.fromkeys(strides))
        raise UserError(
            f"the {role}'s layer '{tap.layer}' does not exist: '{plain}' gives feature maps of "
            f'strides {", ".join(map(str, dict.fromkeys(strides)))}: choose {choices}'
        )
    last = len(strides) - 1 - strides[::-1].index(tap.stride)
    return Tap(tap.layer.replace(f'/{tap.stride}', f'[{last}]'))


@contextmanager
def _dummy_pass(
    detector: nn.Module, image_shape: tuple[int, int]
) -> Iterator[tuple[dict, Callable[[], Any]]]:
    """Make a dummy batch, and a function that runs the detector on it without changing it."""
    training = {module: module.training for module in detector.modules()}
    detector.eval()  # of some detectors of mmdet it returns nothing
    batch = dummy_batch(detector, image_shape)
    try:
        with torch.random.fork_rng():
            yield batch, lambda: detector(**batch, mode='tensor')
    finally:
        for module, mode in training.items():
            module.training = mode
