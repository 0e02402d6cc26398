"""The distiller: a student detector that also learns from a teacher's neurons."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import torch
from mmdet.models.detectors.base import BaseDetector
from mmdet.registry import MODELS
from mmdet.structures import OptSampleList, SampleList
from mmengine.logging import MessageHub, print_log
from torch import Tensor, nn

from nst_det.config.detector import detector_config
from nst_det.config.options import OptionError, checked_options, within
from nst_det.errors import UserError
from nst_det.models.distillers.check_finite import check_finite
from nst_det.models.distillers.gradient_ratio import check_interval, gradient_ratios
from nst_det.models.distillers.taps.recorder import count_channels
from nst_det.models.distillers.teacher.options import check_teacher
from nst_det.models.distillers.teacher.teacher import Teacher
from nst_det.models.distillers.trained_losses import NAME, TrainedLosses
from nst_det.models.distillers.transfers.base import Batch, StudentOutput, Transfer
from nst_det.models.distillers.transfers.build import build_transfers, layer_options


@MODELS.register_module()
@checked_options
class NSTDistiller(BaseDetector):
    """A detector in training that is taught by another one (NST, arXiv 1707.01219).

    To whatever walks a model (checkpoints, EMA, optimizers, DDP, hooks) it *is* the student: its
    children, parameters and buffers are the student's own, under the student's own names. So its
    checkpoints are the plain student's, and the teacher is in none of them. Only a loss that learns
    itself (:class:`FitNetLoss`) adds parameters for the optimizer and DDP, under
    ``trained_losses.``; checkpoints keep those beside the student's ``state_dict``.

    The teacher is built and loaded when training begins (``init_weights`` or the first loss), so
    predicting needs no file of its.

    Args:
        student (dict): The config of any mmdet detector.
        teacher (dict): ``config`` (a path, ``'mmdet::…'`` or a model dict) and ``checkpoint`` (a
            path or URL, or ``'random'`` for an untrained teacher); :class:`Teacher` has the others.
        transfers (list[dict]): What is transferred: each has ``layer`` (or ``student_layer`` and
            ``teacher_layer``; :class:`Tap` says how they are spelled; none for ``KDLoss``) and
            ``loss``. Those of weight 0 are left out; with no other the training is exactly the
            plain student's.
        ignore_padding (bool): Leave the positions of a map outside an image, where its batch is
            padded, out of the image's patterns. Defaults to True.
        data_preprocessor (dict, optional): The student's, where its config has none.
            Defaults to None.
        monitor_interval (int): How often the log learns ``grad_ratio_…``, the norm of a transfer's
            gradient over that of the detection losses', at the student's map: every so many
            iterations, or never where 0. Between them the log shows the latest. Defaults to 50.
        init_cfg (dict, optional): Not used: the student's own ``init_cfg`` counts.
            Defaults to None.

    Raises:
        UserError: Where an option is missing, unknown or wrong.
    """

    stops_where_not_finite = True  # unless a FiniteLossHook skips such iterations

    def __init__(
        self,
        student: dict,
        teacher: dict,
        transfers: list[dict],
        ignore_padding: bool = True,
        data_preprocessor: dict | None = None,
        monitor_interval: int = 50,
        init_cfg: dict | None = None,
    ) -> None:
        if not isinstance(student, dict) or 'type' not in student:
            raise OptionError('student is no model dict with a type: give a detector config')
        if init_cfg is not None:
            raise OptionError('init_cfg is not for NSTDistiller: give it to the student')
        check_teacher(teacher)
        if not isinstance(ignore_padding, bool):
            raise OptionError(f'ignore_padding is {ignore_padding!r}, expected True or False')
        check_interval(monitor_interval)
        if data_preprocessor is not None:
            if not isinstance(data_preprocessor, dict) or 'type' not in data_preprocessor:
                raise OptionError(
                    f'data_preprocessor is {data_preprocessor!r:.80}, expected a dict with a type'
                )
            student = {'data_preprocessor': data_preprocessor, **student}
        with torch.random.fork_rng():  # the student's random numbers must not depend on the losses
            built = build_transfers(transfers)
        detector = MODELS.build(student)
        super().__init__(data_preprocessor=detector.data_preprocessor)
        # Not by attribute, which would make the student a child and prefix all its names.
        self.__dict__['student'] = detector
        for registry in ('_modules', '_parameters', '_buffers', '_non_persistent_buffers_set'):
            self.__dict__[registry] = detector.__dict__[registry]
        self.__dict__['transfers'] = built
        self.transfer_cfgs = transfers
        for transfer, place in zip(self.transfers, layer_options(transfers, 'student')):
            with within(place):
                transfer.check_student(detector)
        self.ignore_padding = ignore_padding
        self.monitor_interval = monitor_interval
        self.teacher_cfg = teacher
        self.teacher: Teacher | None = None
        self.__dict__[NAME] = TrainedLosses()
        with torch.random.fork_rng():  # the student's own random numbers must not depend on these
            self._connect_losses()

    def _connect_losses(self) -> None:
        """Make the parameters of the losses that learn, before an optimizer asks for them."""
        open_ends = [
            transfer
            for transfer in self.transfers
            if transfer.loss.needs_channels and transfer.loss.loss_weight
        ]
        try:
            config = detector_config(self.teacher_cfg['config']) if open_ends else None
        except UserError as error:  # predicting needs no teacher; training will say so again
            print_log(f'The teacher cannot be looked at yet: {error}', 'current', logging.WARNING)
            open_ends = []
        teacher = MODELS.build(config) if open_ends else None
        for transfer in open_ends:
            transfer.loss.connect(
                count_channels(self.student, transfer.student_tap, 'student'),
                count_channels(teacher, transfer.teacher_tap, 'teacher'),
            )
        for transfer in self.transfers:
            if transfer.loss.loss_weight and any(True for _ in transfer.loss.parameters()):
                self.trained_losses[transfer.name] = transfer.loss

    def loss(self, batch_inputs: Tensor, batch_data_samples: SampleList) -> dict:
        """The student's losses, and one ``loss_…`` per transfer, such as ``loss_nst_…``.

        Besides, for the log alone: ``mmd2_…`` is a transfer's MMD² without its weight (and
        ``distance_…``, ``mse_…``, ``kl_…`` what the other losses measure), ``grad_ratio_…`` what
        ``monitor_interval`` says, and ``teacher_cached`` the share of the images that a cache of
        the teacher's maps had.

        Args:
            batch_inputs (Tensor): The student's batch, `(N, 3, H, W)`.
            batch_data_samples (list[DetDataSample]): Its samples, with annotations.

        Returns:
            dict: The losses by name.

        Raises:
            UserError: Where a loss is not finite, or a transfer could have no effect.
        """
        active = [transfer for transfer in self.transfers if transfer.active]
        hub = MessageHub.get_current_instance()
        self.trained_losses.follow(hub)
        if active:
            teacher_output = self.open_teacher()(
                batch_inputs,
                batch_data_samples,
                self.data_preprocessor,
                [tap for transfer in active for tap in transfer.teacher_taps],
                any(transfer.needs_logits for transfer in active),
            )
        with ExitStack() as stack:
            observed = [stack.enter_context(transfer.record(self.student)) for transfer in active]
            losses = self.student.loss(batch_inputs, batch_data_samples)
        own = dict(losses)
        # Each transfer reads views of its own, so that its gradient can be told from others'.
        seen = [[one.view_as(one) for one in each.tensors] for each in observed]
        batch = Batch.of(batch_inputs, batch_data_samples, self.ignore_padding)
        for transfer in self.transfers:
            # DDP waits for the gradient of every parameter, that of a resting loss included.
            losses[transfer.name] = sum(
                (0 * one.sum() for one in transfer.loss.parameters()), batch_inputs.new_zeros(())
            )
        for transfer, each, views in zip(active, observed, seen):
            _check_reached(transfer, each)
            loss = transfer.compare(views, each, batch, teacher_output)
            losses[transfer.name] = transfer.factor * loss
        iteration = hub.get_info('iter', 0)
        if self.stops_where_not_finite:
            maps = {'the images': batch_inputs}
            for transfer, each in zip(active, observed):
                maps[f"the student's {transfer.layer}"] = each.tensors[0]
                for tap in transfer.teacher_taps:
                    maps[f"the teacher's {tap.layer}"] = teacher_output.feature_maps[tap]
            paths = [str(one.get('img_path')) for one in batch_data_samples]
            check_finite(losses, iteration, maps, paths)
        if active and teacher_output.cached_share is not None:
            losses['teacher_cached'] = batch_inputs.new_tensor(teacher_output.cached_share)
        losses.update(self._readings(iteration, own, observed, losses, seen))
        return losses

    def _readings(
        self,
        iteration: int,
        own: dict,
        observed: list[StudentOutput],
        losses: dict,
        seen: list[list[Tensor]],
    ) -> dict[str, Tensor]:
        """What the log is told beside the losses."""
        readings = {
            transfer.log_key: transfer.measured(losses[transfer.name])
            for transfer in self.transfers
            if transfer.loss.loss_weight
        }
        measured = self.monitor_interval and iteration % self.monitor_interval == 0
        if measured and torch.is_grad_enabled():
            readings.update(self._gradient_ratios(own, observed, losses, seen))
        return readings

    def _gradient_ratios(
        self, own: dict, observed: list[StudentOutput], losses: dict, seen: list[list[Tensor]]
    ) -> dict[str, Tensor]:
        weighted = [transfer for transfer in self.transfers if transfer.loss.loss_weight]
        detection, _ = self.student.parse_losses(own)
        transferred = sum(losses[transfer.name] for transfer in weighted)
        tapped = [each.tensors for each in observed]
        ratios = iter(gradient_ratios(detection, tapped, transferred, seen))
        # One that a schedule has switched off pulls with nothing, and the log is to say so.
        return {
            f'grad_ratio_{transfer.log_name}': next(ratios)
            if transfer.active
            else detection.new_zeros(())
            for transfer in weighted
        }

    def predict(
        self, batch_inputs: Tensor, batch_data_samples: SampleList, **kwargs: Any
    ) -> SampleList:
        """The student's predictions: see its ``predict``."""
        return self.student.predict(batch_inputs, batch_data_samples, **kwargs)

    def _forward(self, batch_inputs: Tensor, batch_data_samples: OptSampleList = None) -> Any:
        return self.student(batch_inputs, batch_data_samples, mode='tensor')

    def extract_feat(self, batch_inputs: Tensor) -> Any:
        """The student's feature maps: see its ``extract_feat``."""
        return self.student.extract_feat(batch_inputs)

    def parse_losses(self, losses: dict) -> tuple[Tensor, dict]:
        """The student's way of adding up its losses."""
        return self.student.parse_losses(losses)

    def open_teacher(self) -> Teacher:
        """Build and load the teacher, once.

        Returns:
            Teacher: The teacher, on the student's device.

        Raises:
            UserError: Where its config, its checkpoint or a tapped layer is wrong.
        """
        if self.teacher is None:
            teacher = Teacher(**self.teacher_cfg)
            for transfer, place in zip(self.transfers, layer_options(self.transfer_cfgs, 'teacher')):
                with within(place):
                    transfer.check_teacher(teacher.detector)
            weighted = [transfer for transfer in self.transfers if transfer.loss.loss_weight]
            teacher.prepare(
                [tap for transfer in weighted for tap in transfer.teacher_taps],
                any(transfer.needs_logits for transfer in weighted),
            )
            anchor = next(self.parameters())
            teacher.detector.to(anchor.device, anchor.dtype)
            self.teacher = teacher
        return self.teacher

    def init_weights(self) -> None:
        """Initialise the student its own way, and open the teacher if any transfer needs it."""
        self.student.init_weights()
        if any(transfer.active for transfer in self.transfers):
            self.open_teacher()

    def train(self, mode: bool = True) -> 'NSTDistiller':
        """Put the student in training (or evaluation) mode; the teacher stays in evaluation."""
        self.training = mode
        self.student.train(mode)
        self.trained_losses.train(mode)
        return self

    # What learns beside the student is found by optimizers, DDP and casts, which walk these two;
    # checkpoints walk `_modules`, where it is not.
    def named_children(self) -> Iterator[tuple[str, nn.Module]]:
        """The student's children, and the losses that learn, if there are any."""
        yield from super().named_children()
        if len(self.trained_losses):
            yield NAME, self.trained_losses

    def named_modules(
        self, memo: set | None = None, prefix: str = '', remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Module]]:
        """The student's modules, and the losses that learn, if there are any."""
        yield from super().named_modules(memo, prefix, remove_duplicate)
        if len(self.trained_losses):
            name = f'{prefix}.{NAME}' if prefix else NAME
            yield from self.trained_losses.named_modules(memo, name, remove_duplicate)

    def add_module(self, name: str, module: nn.Module | None) -> None:
        """Replace a child, as the conversion of batch norms does."""
        if name == NAME:
            self.__dict__[NAME] = module
        else:
            super().add_module(name, module)

    def _apply(self, fn: Callable, *args: Any, **kwargs: Any) -> 'NSTDistiller':
        super()._apply(fn, *args, **kwargs)
        if self.teacher is not None:
            self.teacher.apply(fn)
        return self

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        # Some detectors rename keys of other detectors' checkpoints here.
        self.student._load_from_state_dict(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        # mmdet's hooks reach for what a detector has: model.bbox_head.use_l1, model.set_epoch(…).
        student = self.__dict__.get('student')
        if student is None or name in self.__dict__.get('_modules', {}):
            return super().__getattr__(name)
        return getattr(student, name)


def _check_reached(transfer: Transfer, observed: StudentOutput) -> None:
    if torch.is_grad_enabled() and not all(one.requires_grad for one in observed.tensors):
        raise UserError(
            f"the student's layer '{transfer.layer}' learns nothing from "
            f'{transfer.name}: no gradient reaches it (frozen stages, or a backbone with '
            'reentrant activation checkpointing)'
        )
