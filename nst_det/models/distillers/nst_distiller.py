"""The distiller: a detector or classifier, the student, trained to imitate a teacher as well."""

import copy
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from mmdet.models.detectors import SemiBaseDetector
from mmdet.registry import MODELS
from mmdet.structures import OptSampleList, SampleList
from mmengine.logging import MessageHub, print_log
from torch import Tensor, nn

from nst_det.config.options import checked_options, within
from nst_det.config.validators import check_flag, check_integer, check_typed_dict
from nst_det.errors import UserError
from nst_det.models.distillers.auto_weights import AutoWeights
from nst_det.models.distillers.check_finite import check_finite, describe_inputs
from nst_det.models.distillers.gradient_ratio import gradient_ratios
from nst_det.models.distillers.student_view import StudentView
from nst_det.models.distillers.taps.classifier import filling_samples, is_classifier
from nst_det.models.distillers.taps.recorder import count_channels
from nst_det.models.distillers.teacher.bare_backbone import teacher_model
from nst_det.models.distillers.teacher.options import named_teachers
from nst_det.models.distillers.teacher.output import TeacherOutput
from nst_det.models.distillers.teacher.teacher import Teacher, build_teacher
from nst_det.models.distillers.transfers.base import Batch, StudentOutput, Transfer
from nst_det.models.distillers.transfers.build import build_transfers, layer_options
from nst_det.models.distillers.transfers.feature_transfer import FeatureTransfer


@MODELS.register_module()
@checked_options
class NSTDistiller(StudentView):
    """A detector, the student, that is trained to imitate a frozen teacher (NST, arXiv 1707.01219).

    Its parameters, modules and checkpoints are those of the plain student (see
    :class:`StudentView`), and the teacher is in none of them. Only a loss with parameters, such as
    :class:`FitNetLoss`, adds parameters named ``trained_losses.…`` for the optimizer and DDP. A
    checkpoint keeps them apart from the student's ``state_dict``.

    The teacher is built and loaded when training begins (``init_weights`` or the first loss).
    Predicting needs no file of the teacher.

    Args:
        student (dict): The config of any mmdet detector, or of an image classifier of mmpretrain.
        teacher (dict or list[dict]): ``config`` (a path, ``'mmdet::…'`` or a model dict) and
            ``checkpoint`` (a path or URL, or ``'random'`` for an untrained teacher); or
            ``backbone`` for a teacher that is no detector. :class:`Teacher` has the other options.
            Several teachers are a list, each with a ``name``, and each transfer says as its
            ``teacher`` which one it reads.
        transfers (list[dict]): Each has ``layer`` (or ``student_layer`` and ``teacher_layer``; see
            :class:`Tap`; none for ``KDLoss``) and ``loss``; ``foreground`` (True, or
            ``dict(margin=…)`` in pixels) leaves out all but the objects. A transfer with weight 0
            is left out. Without any other transfer, the training is exactly that of the plain
            student.
        ignore_padding (bool): Leave the padding of a batch out of the patterns; the batches of a
            classifier have none. Defaults to True.
        data_preprocessor (dict, optional): The data preprocessor of the student, if its config has
            none. Defaults to None.
        monitor_interval (int): The number of iterations between two values of ``grad_ratio_…`` in
            the log: the norm of a transfer's gradient over the norm of the detection losses'
            gradient, at the student's feature map. 0 turns it off. Defaults to 50.
        init_cfg (dict, optional): Not used; the student has its own. Defaults to None.

    Raises:
        UserError: If an option is missing, unknown or wrong.
    """

    checks_losses = True  # FiniteLossHook turns it off to skip iterations instead of stopping

    def __init__(
        self,
        student: dict,
        teacher: dict | list[dict],
        transfers: list[dict],
        ignore_padding: bool = True,
        data_preprocessor: dict | None = None,
        monitor_interval: int = 50,
        init_cfg: dict | None = None,
    ) -> None:
        check_typed_dict('student', student)
        if init_cfg is not None:
            raise UserError('init_cfg is not for NSTDistiller: give it to the student', 'init_cfg')
        teachers = named_teachers(teacher)
        check_flag('ignore_padding', ignore_padding)
        check_integer('monitor_interval', monitor_interval, minimum=0)
        if data_preprocessor is not None:
            check_typed_dict('data_preprocessor', data_preprocessor)
            student = {'data_preprocessor': data_preprocessor, **student}
        # The random numbers of the student must not depend on the losses.
        with torch.random.fork_rng():
            built_transfers = build_transfers(transfers, teachers)
        super().__init__(_build_student(copy.deepcopy(student)))  # building may change a config
        self.transfers = built_transfers
        self.transfer_cfgs = transfers
        for transfer, option in zip(self.transfers, layer_options(transfers, 'student')):
            with within(option):
                transfer.check_student(self.student)
        self.auto_weights = AutoWeights(self.transfers)
        self.ignore_padding = ignore_padding
        self.monitor_interval = monitor_interval
        self.teacher_cfgs = teachers
        self.teachers: dict[str, Teacher] = {}  # those that are open, by name
        self.starved: set[str] = set()  # transfers at layers without a detection gradient
        with torch.random.fork_rng():
            self._connect_losses()

    def _connect_losses(self) -> None:
        """Build the parameters of the losses, before an optimizer is built."""
        unconnected = [
            transfer
            for transfer in self._weighted
            if isinstance(transfer, FeatureTransfer) and transfer.loss.needs_channels
        ]
        detectors: dict[str, nn.Module] = {}
        for transfer in unconnected:
            try:
                if transfer.teacher not in detectors:
                    model = teacher_model(self.teacher_cfgs[transfer.teacher])
                    detectors[transfer.teacher] = build_teacher(model)
            except UserError as error:  # predicting needs no teacher; training raises it again
                print_log(f'The teacher cannot be built yet: {error}', 'current', logging.WARNING)
                break
            teacher = detectors[transfer.teacher]
            transfer.check_teacher(teacher)
            transfer.loss.connect(
                count_channels(self.student, transfer.student_tap, 'student'),
                count_channels(teacher, transfer.teacher_tap, 'teacher'),
            )
        for weighted in self._weighted:
            if list(weighted.loss.parameters()):
                self.trained_losses[weighted.name] = weighted.loss

    def loss(self, batch_inputs: Tensor, batch_data_samples: SampleList) -> dict:
        """Compute the student's losses, and a loss for each transfer, such as ``loss_nst_…``.

        Further values are for the log alone: the value of a transfer's loss without its weight
        (``mmd2_…`` for NST; ``distance_…``, ``mse_…``, ``kl_…`` for other losses), ``grad_ratio_…``
        (see ``monitor_interval``), ``weight_…`` of a transfer whose weight is measured, and
        ``teacher_cached``, the share of the images whose teacher output came from the feature
        cache (of several teachers with the name behind it).

        Args:
            batch_inputs (Tensor): The student's batch, `(N, 3, H, W)`.
            batch_data_samples (list[DetDataSample]): Its samples, with annotations.

        Returns:
            dict: The losses by name.

        Raises:
            UserError: If a loss is NaN or infinite, or a transfer cannot have any effect.
        """
        hub = MessageHub.get_current_instance()
        iteration = hub.get_info('iter', 0)
        self.trained_losses.follow(hub)
        self.auto_weights.follow(hub)
        active = self._active
        teacher_outputs = {
            name: self.run_teacher(name, active, batch_inputs, batch_data_samples)
            for name in dict.fromkeys(transfer.teacher for transfer in active)
        }
        with ExitStack() as stack:
            outputs = [stack.enter_context(transfer.record(self.student)) for transfer in active]
            student_losses = self.student.loss(batch_inputs, batch_data_samples)
        # Each transfer reads its own views, which tell its gradient from that of the others.
        views = [[tensor.view_as(tensor) for tensor in output.tensors] for output in outputs]
        ignore_padding = self.ignore_padding and not is_classifier(self.student)
        batch = Batch.of(batch_inputs, batch_data_samples, ignore_padding)
        losses = {**student_losses, **self._inactive_losses(batch_inputs)}
        for transfer, output, tensors in zip(active, outputs, views):
            _check_reached(transfer, output)
            value = transfer.compare(tensors, output, batch, teacher_outputs[transfer.teacher])
            losses[transfer.name] = transfer.factor * value
        detection_loss, _ = self.student.parse_losses(student_losses)
        self.auto_weights.measure(active, detection_loss, losses, outputs, views)
        if self.checks_losses:
            describe = partial(
                _describe_origin, batch_inputs, batch_data_samples, active, outputs, teacher_outputs
            )
            check_finite(losses, iteration, describe)
        logged = self._log_values(iteration, detection_loss, losses, outputs, views)
        for name, teacher_output in teacher_outputs.items():
            if teacher_output.cached_share is not None:
                key = f'teacher_cached_{name}' if name else 'teacher_cached'
                logged[key] = batch_inputs.new_tensor(teacher_output.cached_share)
        return {**losses, **logged}

    @property
    def _active(self) -> list[Transfer]:
        """The transfers whose weight is not 0 at the moment."""
        return [transfer for transfer in self.transfers if transfer.active]

    @property
    def _weighted(self) -> list[Transfer]:
        """The transfers whose weight in the config is not 0, in effect at the moment or not."""
        return [transfer for transfer in self.transfers if transfer.loss.loss_weight]

    def run_teacher(
        self,
        name: str,
        transfers: Sequence[Transfer],
        batch_inputs: Tensor,
        batch_data_samples: SampleList,
    ) -> TeacherOutput:
        """Run one teacher on a batch.

        Args:
            name (str): The name of the teacher.
            transfers (Sequence[Transfer]): What will be compared; those that name another teacher
                are left out.
            batch_inputs (Tensor): The student's batch, `(N, 3, H, W)`.
            batch_data_samples (list[DetDataSample]): Its samples.

        Returns:
            TeacherOutput: The feature maps, and the logits if a transfer needs them.
        """
        readers = [transfer for transfer in transfers if transfer.teacher == name]
        if is_classifier(self.student):
            batch_data_samples = filling_samples(batch_data_samples, batch_inputs.shape[2:])
        return self.open_teacher(name)(
            batch_inputs,
            batch_data_samples,
            self.data_preprocessor,
            [tap for transfer in readers for tap in transfer.teacher_taps],
            any(transfer.needs_logits for transfer in readers),
        )

    def run_teachers(self, inputs: Tensor, data_samples: SampleList) -> list[TeacherOutput]:
        """Run the teachers that have a cache on a batch, for all transfers, without the student.

        Args:
            inputs (Tensor): The student's batch, `(N, 3, H, W)`.
            data_samples (list[DetDataSample]): Its samples.

        Returns:
            list[TeacherOutput]: One per teacher; with a cache, it then holds what was computed.
        """
        weighted = self._weighted
        return [
            self.run_teacher(name, weighted, inputs, data_samples)
            for name in dict.fromkeys(transfer.teacher for transfer in weighted)
            if self.teacher_cfgs[name].get('cache')
        ]

    def _inactive_losses(self, batch_inputs: Tensor) -> dict[str, Tensor]:
        """A loss of 0 for every transfer, with a gradient for each of its parameters.

        DDP waits for the gradient of every parameter, also of a loss that a schedule turned off.
        """
        return {
            transfer.name: sum(
                (0 * parameter.sum() for parameter in transfer.loss.parameters()),
                batch_inputs.new_zeros(()),
            )
            for transfer in self.transfers
        }

    def _log_values(
        self,
        iteration: int,
        detection_loss: Tensor,
        losses: dict,
        outputs: Sequence[StudentOutput],
        views: Sequence[Sequence[Tensor]],
    ) -> dict[str, Tensor]:
        """Compute the values that are for the log alone, and no part of the total loss."""
        logged = {
            transfer.log_key: transfer.measured(losses[transfer.name]) for transfer in self._active
        }
        logged.update(self.auto_weights.values(detection_loss.device))
        due = self.monitor_interval and iteration % self.monitor_interval == 0
        if not (due and torch.is_grad_enabled()):
            return logged
        transfer_loss = sum(losses[transfer.name] for transfer in self._active)
        tapped = [output.tensors for output in outputs]
        ratios = gradient_ratios(detection_loss, tapped, transfer_loss, views)
        for transfer, ratio in zip(self._active, ratios):
            logged[f'grad_ratio_{transfer.log_name}'] = ratio
            if ratio.isinf() and transfer.name not in self.starved:
                self.starved.add(transfer.name)
                print_log(
                    f"{transfer.name}: the detection losses hardly depend on the student's "
                    f"'{transfer.layer}' for these images, so no gradient ratio can be given. If "
                    'that stays so, the transfer alone moves this layer: choose another one',
                    'current',
                    logging.WARNING,
                )
        return logged

    def predict(
        self, batch_inputs: Tensor, batch_data_samples: SampleList, **kwargs: Any
    ) -> SampleList:
        """Predict with the student: see ``predict`` of its class."""
        return self.student.predict(batch_inputs, batch_data_samples, **kwargs)

    def _forward(self, batch_inputs: Tensor, batch_data_samples: OptSampleList = None) -> Any:
        return self.student(batch_inputs, batch_data_samples, mode='tensor')

    def extract_feat(self, batch_inputs: Tensor) -> Any:
        """Compute the student's feature maps: see ``extract_feat`` of its class."""
        return self.student.extract_feat(batch_inputs)

    def parse_losses(self, losses: dict) -> tuple[Tensor, dict]:
        """Add up the losses as the student does, and leave inactive transfers out of the log.

        A classifier calls its only loss ``loss``, which mmengine would log in place of the sum. So
        here it is logged as ``loss_cls``.
        """
        named = {'loss_cls' if name == 'loss' else name: value for name, value in losses.items()}
        loss, log_vars = self.student.parse_losses(named)
        for transfer in self.transfers:
            if not transfer.active:
                log_vars.pop(transfer.name, None)
        return loss, log_vars

    @property
    def teacher(self) -> Teacher | None:
        """Teacher or None: The first of the teachers if it is open."""
        return self.teachers.get(next(iter(self.teacher_cfgs)))

    def open_teacher(self, name: str | None = None) -> Teacher:
        """Build and load a teacher on the first call.

        Args:
            name (str, optional): Its name. Defaults to None: the first of the teachers.

        Returns:
            Teacher: The teacher, on the student's device.

        Raises:
            UserError: If the teacher's config, its checkpoint or a tapped layer is wrong.
        """
        if name is None:
            name = next(iter(self.teacher_cfgs))
        if name not in self.teachers:
            teacher = Teacher(**self.teacher_cfgs[name])
            options = layer_options(self.transfer_cfgs, 'teacher')
            for transfer, option in zip(self.transfers, options):
                if transfer.teacher == name:
                    with within(option):
                        transfer.check_teacher(teacher.detector)
            readers = [transfer for transfer in self._weighted if transfer.teacher == name]
            teacher.prepare(
                [tap for transfer in readers for tap in transfer.teacher_taps],
                any(transfer.needs_logits for transfer in readers),
            )
            parameter = next(self.parameters())
            teacher.detector.to(parameter.device)
            kind = parameter.dtype
            teacher.apply(lambda value: value.to(kind) if value.is_floating_point() else value)
            self.teachers[name] = teacher
        return self.teachers[name]

    def init_weights(self) -> None:
        """Initialise the student as its class does, and load the teachers that a transfer needs."""
        super().init_weights()
        if not any(parameter.requires_grad for parameter in self.parameters()):
            return
        for transfer in self._active:
            self.open_teacher(transfer.teacher)

    def _apply(self, fn: Callable, recurse: bool = True) -> 'NSTDistiller':
        super()._apply(fn, recurse)
        for teacher in self.teachers.values():
            teacher.apply(fn)
        return self


def _build_student(config: dict) -> nn.Module:
    """Build the student, which must be one detector that takes one batch of images."""
    student = MODELS.build(config)
    if isinstance(student, SemiBaseDetector):
        raise UserError(
            f'student is a {type(student).__name__}, which trains two detectors on several batches '
            'at once: put the distiller inside it, as its detector=dict(type='
            "'NSTDistiller', student=…)",
            'student',
        )
    return student


def _check_reached(transfer: Transfer, output: StudentOutput) -> None:
    """Check that a gradient reaches the tensors that a transfer recorded."""
    if torch.is_grad_enabled() and not all(tensor.requires_grad for tensor in output.tensors):
        raise UserError(
            f"{transfer.name} has no effect: no gradient reaches the student's layer "
            f"'{transfer.layer}', because its stages are frozen, or because the backbone uses "
            'reentrant activation checkpointing: choose a later layer, or change the backbone'
        )


def _describe_origin(
    batch_inputs: Tensor,
    batch_data_samples: SampleList,
    active: Sequence[Transfer],
    outputs: Sequence[StudentOutput],
    teacher_outputs: Mapping[str, TeacherOutput],
) -> str:
    """Say which inputs of the losses were not finite, for the error of a NaN or infinite loss."""
    tensors = {'the images': batch_inputs}
    for transfer, output in zip(active, outputs):
        tensors[f"the student's {transfer.layer}"] = output.tensors[0]
        for tap in transfer.teacher_taps:
            feature_map = teacher_outputs[transfer.teacher].feature_maps[tap]
            owner = f"the teacher {transfer.teacher}'s" if transfer.teacher else "the teacher's"
            tensors[f'{owner} {tap.layer}'] = feature_map
    paths = [str(sample.get('img_path')) for sample in batch_data_samples]
    return describe_inputs(tensors, paths)
