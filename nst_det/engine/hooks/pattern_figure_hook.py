"""Shows, while training goes on, how the student's patterns come to the teacher's."""

from importlib.util import find_spec
from typing import Any

from mmdet.registry import HOOKS
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from nst_det.config.options import checked_options
from nst_det.engine.runner.unwrap_model import unwrap_model
from nst_det.errors import UserError
from nst_det.models.distillers import NSTDistiller


@HOOKS.register_module()
@checked_options
class PatternFigureHook(Hook):
    """Gives the visualisers a figure of teacher's and student's patterns every so often.

    It is the paper's figure 5 for one image: t-SNE clouds of all channels, of the student as this
    training began and as it is now. LocalVisBackend, TensorBoard and WandB show it under
    ``patterns_<layer>``. The training itself is left as it would be without the hook.

    Args:
        interval (int): Every so many epochs, and after the last. Defaults to 1.
        by_epoch (bool): Whether ``interval`` counts epochs rather than iterations. Defaults to
            True.
        image (str, optional): The image file. Defaults to None, the first one of the validation.

    Raises:
        UserError: Where an option is of another type, or the interval less than 1.
    """

    priority = 'LOW'

    def __init__(self, interval: int = 1, by_epoch: bool = True, image: str | None = None) -> None:
        if isinstance(interval, bool) or not isinstance(interval, int) or interval < 1:
            raise UserError(
                f'PatternFigureHook: interval is {interval!r:.80}, expected a whole number of at '
                'least 1; leave the hook out for no figures'
            )
        if not isinstance(by_epoch, bool):
            raise UserError(
                f'PatternFigureHook: by_epoch is {by_epoch!r:.80}, expected True or False'
            )
        if image is not None and (not isinstance(image, str) or not image):
            raise UserError(
                f'PatternFigureHook: image is {image!r:.80}, expected the path of a file'
            )
        self.interval = interval
        self.by_epoch = by_epoch
        self.image = image

    @master_only
    def before_train(self, runner: Runner) -> None:
        """See what the student sees as the training begins.

        Raises:
            UserError: Where the model is no distiller, there is no image to look at, or
                scikit-learn is not installed.
        """
        # Matplotlib, scikit-learn and SciPy are loaded where they are asked for alone.
        from nst_det.visualization import load_image, view_layers

        self.distiller = unwrap_model(runner)
        if not isinstance(self.distiller, NSTDistiller):
            raise UserError(
                'PatternFigureHook draws the transfers of an NSTDistiller, and the model is a '
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
                'PatternFigureHook: there is no validation whose first image could be drawn: give '
                "image='…'"
            )
        began = f'as training began, {self._moment(runner)}' if runner.iter else 'before training'
        self.began = view_layers(self.distiller, self.data, began)

    @master_only
    def after_train_epoch(self, runner: Runner) -> None:
        """Draw, if it is time."""
        if self.by_epoch and (
            self.every_n_epochs(runner, self.interval) or self.is_last_train_epoch(runner)
        ):
            self._draw(runner, runner.epoch + 1)

    @master_only
    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Draw, if it is time."""
        if not self.by_epoch and (
            self.every_n_train_iters(runner, self.interval) or self.is_last_train_iter(runner)
        ):
            self._draw(runner, runner.iter + 1)

    def _draw(self, runner: Runner, step: int) -> None:
        from nst_det.visualization import draw_clouds, merge_views, pixels_of, view_layers

        now = f'after {"epoch" if self.by_epoch else "iteration"} {step}'
        for view in merge_views(self.began, view_layers(self.distiller, self.data, now)):
            runner.visualizer.add_image(
                f'patterns_{view.label}', pixels_of(draw_clouds(view)), step
            )

    def _moment(self, runner: Runner) -> str:
        return f'epoch {runner.epoch}' if self.by_epoch else f'iteration {runner.iter}'
