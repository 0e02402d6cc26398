"""A hook that draws the patterns of teacher and student while the training runs."""

from importlib.util import find_spec
from typing import Any

from mmdet.registry import HOOKS
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from nst_det.config.options import checked_options
from nst_det.config.validators import check_flag, check_integer, check_path
from nst_det.engine.runner.unwrap_model import unwrap_model
from nst_det.errors import UserError
from nst_det.models.distillers import NSTDistiller


@HOOKS.register_module()
@checked_options
class PatternFigureHook(Hook):
    """Sends a figure of the patterns of teacher and student to the visualizers at an interval.

    The figure is figure 5 of the paper for one image: t-SNE clouds of all channels, of the student
    when this training began and of the student now. LocalVisBackend, TensorBoard and WandB show it
    as ``patterns_<layer>``. The hook does not change the training.

    Args:
        interval (int): The number of epochs between two figures; another one is drawn at the end.
            Defaults to 1.
        by_epoch (bool): ``interval`` counts epochs, not iterations. Defaults to True.
        image (str, optional): The image file. Defaults to None, the first image of the validation.

    Raises:
        UserError: If an option has another type, or the interval is less than 1.
    """

    priority = 'LOW'

    def __init__(self, interval: int = 1, by_epoch: bool = True, image: str | None = None) -> None:
        hint = '; leave the hook out for no figures'
        self.interval = check_integer('interval', interval, minimum=1, hint=hint)
        self.by_epoch = check_flag('by_epoch', by_epoch)
        self.image = None if image is None else check_path('image', image, 'the path of a file')

    @master_only
    def before_train(self, runner: Runner) -> None:
        """Record the patterns of the student as the training begins.

        Raises:
            UserError: If the model is not a distiller, there is no image, or scikit-learn is not
                installed.
        """
        # Imported here, because Matplotlib, scikit-learn and SciPy take seconds to import.
        from nst_det.visualization import load_image, view_layers

        self.distiller = unwrap_model(runner)
        if not isinstance(self.distiller, NSTDistiller):
            raise UserError(
                'PatternFigureHook draws the transfers of an NSTDistiller, but the model is a '
                f'{type(self.distiller).__name__}: take the hook out of custom_hooks'
            )
        if find_spec('sklearn') is None:
            raise UserError('PatternFigureHook needs scikit-learn: pip install scikit-learn')
        if self.image is not None:
            self.data = load_image(runner.cfg, self.image)
        elif runner.val_loop is not None:
            self.data = runner.val_loop.dataloader.dataset[0]
        else:
            raise UserError(
                'PatternFigureHook draws the first image of the validation, but the config has no '
                "validation: give image='…'"
            )
        title = f'as training began, {self._now(runner)}' if runner.iter else 'before training'
        self.first_views = view_layers(self.distiller, self.data, title)

    @master_only
    def after_train_epoch(self, runner: Runner) -> None:
        """Draw, if the interval has passed."""
        if self.by_epoch and (
            self.every_n_epochs(runner, self.interval) or self.is_last_train_epoch(runner)
        ):
            self._draw(runner, runner.epoch + 1)

    @master_only
    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Draw, if the interval has passed."""
        if not self.by_epoch and (
            self.every_n_train_iters(runner, self.interval) or self.is_last_train_iter(runner)
        ):
            self._draw(runner, runner.iter + 1)

    def _draw(self, runner: Runner, step: int) -> None:
        from nst_det.visualization import draw_clouds, merge_views, pixels_of, view_layers

        title = f'after {"epoch" if self.by_epoch else "iteration"} {step}'
        views = view_layers(self.distiller, self.data, title)
        for view in merge_views(self.first_views, views):
            runner.visualizer.add_image(
                f'patterns_{view.label}', pixels_of(draw_clouds(view)), step
            )

    def _now(self, runner: Runner) -> str:
        return f'epoch {runner.epoch}' if self.by_epoch else f'iteration {runner.iter}'
