"""The teacher: a frozen detector that runs as far as its pupils need."""

import logging
from collections.abc import Callable, Sequence
from os import PathLike

import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from nst_det.building import OptionError, check_keys, within
from nst_det.checkpoints import load_exactly
from nst_det.configs import load_config
from nst_det.download import check_spelling
from nst_det.errors import UserError
from nst_det.models.distillers.class_scores import classifier
from nst_det.models.distillers.image_view import ImageView
from nst_det.models.distillers.lesson import Lesson
from nst_det.models.distillers.tap import Tap, record

RANDOM = 'random'


class Teacher:
    """A frozen detector that gives a lesson on the student's batch.

    It is no ``nn.Module``, so that no optimizer, checkpoint, EMA or DDP ever finds its parameters;
    a copy of a distiller shares it.

    Args:
        config (str or dict): The detector's config: a path, ``'mmdet::…'``, a whole config or a
            model dict. Of a distiller's config it takes the student.
        checkpoint (str): Path or URL of the detector's weights, every key of which must fit.
            ``'random'`` asks for an untrained teacher by name.
        sha256 (str, optional): The checkpoint's SHA-256 in hex, or at least its first 8 digits: any
            other file is refused. Defaults to None.

    Raises:
        UserError: Where the config or the checkpoint is missing or does not fit.
    """

    def __init__(self, config: str | dict, checkpoint: str, sha256: str | None = None) -> None:
        # The student's own random numbers must not depend on there being a teacher.
        with torch.random.fork_rng():
            self.detector = MODELS.build(detector_config(config))
            if checkpoint == RANDOM:
                print_log('The teacher is untrained, as asked for.', 'current')
                self.detector.init_weights()
            else:
                load_exactly(self.detector, checkpoint, 'teacher', sha256)
        self.detector.eval().requires_grad_(False)
        self.views: dict[BaseDataPreprocessor, ImageView] = {}
        self.counted: set[str] = set()  # the layers whose runs in a whole forward pass are known

    @torch.no_grad()
    def __call__(
        self,
        images: Tensor,
        samples: Sequence[DetDataSample],
        preprocessor: BaseDataPreprocessor,
        taps: Sequence[Tap],
        needs_features: bool = False,
    ) -> Lesson:
        """Run the teacher on the student's batch, exactly as far as is needed.

        On the first batch it runs to its end, to see whether a tapped layer runs more than once.

        Args:
            images (Tensor): The batch as the student sees it, `(N, 3, H, W)`.
            samples (Sequence[DetDataSample]): Its samples.
            preprocessor (BaseDataPreprocessor): What made the batch: the student's preprocessor.
            taps (Sequence[Tap]): What to record.
            needs_features (bool): Whether the lesson needs what the heads see, to classify.
                Defaults to False.

        Returns:
            Lesson: One map per tap, and the teacher's classification where needed.
        """
        if preprocessor not in self.views:
            self.views[preprocessor] = ImageView(preprocessor, self.detector.data_preprocessor)
        seen, views = self.views[preprocessor](images, samples)
        counted = all(tap.path in self.counted or tap.call is not None for tap in taps)
        features: list[Sequence[Tensor]] | None = [] if needs_features else None
        with record(self.detector, taps, 'teacher', counted, features) as tapped:
            try:
                self.detector(seen, views, mode='tensor')
            except Exception as error:
                if counted or features == [] or any(one is None for one in tapped):
                    raise
                reason = f'{type(error).__name__}: {" ".join(str(error).split())}'
                print_log(
                    'The teacher does not run to its end without annotations, so what comes after '
                    f'its tapped layers was not checked for using them again ({reason})',
                    'current',
                    logging.WARNING,
                )
        self.counted.update(tap.path for tap in taps)
        return Lesson(
            {tap: tap.as_map(one, seen.shape, 'teacher') for tap, one in zip(taps, tapped)},
            seen.shape[2:],
            features[0] if features else None,
            classifier(self.detector, 'teacher') if features else None,
        )

    def apply(self, fn: Callable[[Tensor], Tensor]) -> None:
        """Move or cast the teacher along with the student: see ``nn.Module._apply``."""
        self.detector._apply(fn)

    def __deepcopy__(self, memo: dict) -> 'Teacher':
        return self


def detector_config(config: str | dict) -> ConfigDict:
    """Find the detector's own config in whatever a user calls a teacher.

    Args:
        config (str or dict): A path, ``'mmdet::…'``, a whole config, or a model dict.

    Returns:
        ConfigDict: The model dict; of a distiller, its student's.

    Raises:
        UserError: Where there is none.
    """
    if isinstance(config, str):
        config = load_config(config)
    whole = config if isinstance(config, (dict, Config)) else {}
    model = whole.get('model', whole)
    outer = [whole]
    while isinstance(model, dict) and model.get('type') == 'NSTDistiller':
        outer.append(model)
        model = model.get('student')
    if not isinstance(model, dict) or 'type' not in model:
        raise UserError(
            f'teacher.config is {config!r:.80}, expected the path of a config, '
            "'mmdet::…' or a model dict with a type"
        )
    for one in reversed(outer):  # where the detector has none, the nearest counts
        if one.get('data_preprocessor') is not None:
            model = {'data_preprocessor': one['data_preprocessor'], **model}
    return ConfigDict(model)


def check_teacher(cfg: dict) -> None:
    """Check the ``teacher`` option of a distiller before anything is loaded.

    Raises:
        UserError: Where it has no config or no checkpoint, or a key that nothing reads.
    """
    if not isinstance(cfg, dict):
        raise OptionError(f'teacher is {cfg!r:.80}, expected dict(config=…, checkpoint=…)')
    check_keys(cfg, ['config', 'checkpoint', 'sha256'], 'teacher')
    if 'config' not in cfg:
        raise OptionError('teacher has no config: give a path, an mmdet::… name or a model dict')
    if not isinstance(cfg['config'], str):
        detector_config(cfg['config'])
    checkpoint = cfg.get('checkpoint')
    if not checkpoint:
        raise OptionError(
            'teacher has no checkpoint, and an untrained teacher teaches nothing: give the path or '
            f"URL of its weights, or checkpoint='{RANDOM}' if that is what you want"
        )
    if not isinstance(checkpoint, (str, PathLike)):
        raise OptionError(f'teacher.checkpoint is {checkpoint!r:.80}, expected a path or URL')
    if cfg.get('sha256') is not None:
        with within('teacher.sha256'):
            check_spelling(cfg['sha256'])
