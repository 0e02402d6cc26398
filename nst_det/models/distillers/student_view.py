"""A detector that shows the parameters, modules and attributes of the student inside it.

A distiller is trained, and its student is saved. If the student were an ordinary child, named
``student``, then hooks on the state dict could strip that name from the keys of a checkpoint. Three
things would still go wrong, the first two without any error:

- Layer-wise learning rates (``LearningRateDecayOptimizerConstructor``) tell the layers by parameter
  names that begin with ``backbone.``. All layers would get the same rate.
- A two-stage detector renames the keys of an RPN's checkpoint only if it is the outermost module.
- A module that a hook replaces by its name would be replaced in the distiller alone.

So the two share their registries of modules, parameters and buffers, and no name is ever changed.
``tests/unit/models/distillers/test_student_view.py`` has one test for each part of this file:

========================================================  ==========================================
part                                                      test
========================================================  ==========================================
shared registries                                         ``…have_the_names_of_the_students``,
                                                          ``…has_the_students_keys_in_their_order``,
                                                          ``test_layer_wise_decay_…``,
                                                          ``…is_replaced_in_the_student``
``_load_from_state_dict``                                 ``…own_renaming_of_keys_is_kept``
``__getattr__``                                           ``…is_found_by_its_name``
``train``                                                 ``test_training_mode_…``
``named_children``, ``named_modules``                     ``test_trained_losses_…``
``add_module``                                            ``test_the_conversions_of_batch_norms_…``
``to``, ``cuda``, ``_apply`` …                            ``test_a_move_reaches_…``
``init_weights``                                          ``test_a_detector_around_it_…``
========================================================  ==========================================
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from mmdet.models.detectors.base import BaseDetector
from torch import Tensor, nn

from nst_det.models.distillers.trained_losses import NAME, TrainedLosses

MOVES = ('cuda', 'cpu', 'half', 'float', 'double', 'bfloat16', 'type')
REGISTRIES = ('_modules', '_parameters', '_buffers', '_non_persistent_buffers_set')


class StudentView(BaseDetector):
    """A detector whose children, parameters and buffers are those of its student.

    Args:
        student (nn.Module): The student.

    Attributes:
        student (nn.Module): The student. It is not a child.
        trained_losses (TrainedLosses): The losses that have parameters. Optimizers and DDP find
            them as a child if there are any; the student and its state dict do not have them.
    """

    def __init__(self, student: nn.Module) -> None:
        super().__init__(data_preprocessor=student.data_preprocessor)
        self.__dict__['student'] = student  # an ordinary assignment would make it a child
        self.__dict__[NAME] = TrainedLosses()
        for registry in REGISTRIES:
            self.__dict__[registry] = student.__dict__[registry]

    def train(self, mode: bool = True) -> 'StudentView':
        """Put the student and the trained losses into training or evaluation mode."""
        self.training = mode
        self.student.train(mode)
        self.trained_losses.train(mode)
        return self

    def named_children(self) -> Iterator[tuple[str, nn.Module]]:
        """The children of the student, and the trained losses if there are any."""
        yield from super().named_children()
        if len(self.trained_losses):
            yield NAME, self.trained_losses

    def named_modules(
        self, memo: set | None = None, prefix: str = '', remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Module]]:
        """The modules of the student, and those of the trained losses if there are any."""
        yield from super().named_modules(memo, prefix, remove_duplicate)
        if len(self.trained_losses):
            name = f'{prefix}.{NAME}' if prefix else NAME
            yield from self.trained_losses.named_modules(memo, name, remove_duplicate)

    def add_module(self, name: str, module: nn.Module | None) -> None:
        """Replace a child, as the conversions of batch norms do with every named child."""
        if name == NAME:
            self.__dict__[NAME] = module
        else:
            super().add_module(name, module)

    def init_weights(self) -> None:
        """Initialise the student as its class does."""
        # If a detector around this one initialises, the student has to know that it is not alone.
        noted = '_params_init_info'
        if noted in self.__dict__:
            self.student.__dict__[noted] = self.__dict__[noted]
        self.student.init_weights()
        self.student.__dict__.pop(noted, None)

    def to(self, *args: Any, **kwargs: Any) -> 'StudentView':
        """Move by the student's own method, which may take no more than a device; cast the rest."""
        device = args[0] if args else kwargs.get('device', kwargs.get('tensor'))
        if isinstance(device, Tensor):
            device = device.device
        if device is not None and not isinstance(device, torch.dtype):
            self.student.to(device)
        return super().to(*args, **kwargs)

    def _apply(self, fn: Callable, recurse: bool = True) -> 'StudentView':
        self.student._apply(fn, recurse)
        for module in _hidden_modules(self.student):
            module._apply(fn)
        self.trained_losses._apply(fn)
        return self

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self.student._load_from_state_dict(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        # Hooks of mmdet use attributes of a detector, such as model.bbox_head and set_epoch().
        student = self.__dict__.get('student')
        if student is None or name in self.__dict__.get('_modules', {}):
            return super().__getattr__(name)
        return getattr(student, name)


def _hidden_modules(student: nn.Module) -> Iterator[nn.Module]:
    """Find the modules that a detector hides, as mmdet's LD does with a teacher of its own."""
    for value in vars(student).values():
        if isinstance(value, nn.Module):
            yield value


def _as_the_student(name: str) -> Callable:
    """A method that moves or casts the student by its own method, which its class may override."""

    def move(self: StudentView, *args: Any, **kwargs: Any) -> StudentView:
        getattr(self.student, name)(*args, **kwargs)
        return getattr(super(StudentView, self), name)(*args, **kwargs)

    move.__doc__ = f"""Do as ``{name}`` of the student's class, and the same with all the rest."""
    return move


for _name in MOVES:
    setattr(StudentView, _name, _as_the_student(_name))
