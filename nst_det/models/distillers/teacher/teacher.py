"""The teacher: a frozen detector that runs as far as its pupils need."""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from os import PathLike

import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.logging import print_log
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from nst_det.config.detector import detector_config
from nst_det.errors import UserError
from nst_det.fileio.state_dict import load_strictly
from nst_det.models.distillers.taps.logits import RoILogits, find_logits
from nst_det.models.distillers.taps.recorder import record
from nst_det.models.distillers.taps.tap import Tap
from nst_det.models.distillers.teacher.feature_cache import FeatureCache, weights_key
from nst_det.models.distillers.teacher.output import TeacherOutput
from nst_det.models.distillers.teacher.precision import computing_in, warn_where_imitated
from nst_det.models.distillers.teacher.preprocess import TeacherPreprocess
from nst_det.models.distillers.teacher.side_stream import SideStream
from nst_det.models.distillers.teacher.speedups import rewrite

RANDOM = 'random'


class Teacher:
    """A frozen detector that gives a teacher_output on the student's batch.

    It is no ``nn.Module``, so that no optimizer, checkpoint, EMA or DDP ever finds its parameters;
    a copy of a distiller shares it.

    Args:
        config (str or dict): The detector's config: a path, ``'mmdet::…'``, a whole config or a
            model dict. Of a distiller's config it takes the student.
        checkpoint (str): Path or URL of the detector's weights, every key of which must fit.
            ``'random'`` asks for an untrained teacher by name.
        sha256 (str, optional): The checkpoint's SHA-256 in hex, or at least its first 8 digits: any
            other file is refused. Defaults to None.
        fuse (bool): Take batch norms into the convolutions before them, where all that is asked of
            the teacher stays the same to float32 rounding: on the first batch it is compared.
            Defaults to True.
        channels_last (bool, optional): Lay maps out in memory with the channels last, likewise.
            Defaults to None: on a CPU.
        precision (str, optional): ``'float32'``, ``'bfloat16'`` or ``'float16'``, whatever the
            student computes in; the losses are computed in float32 all the same. Defaults to None,
            as the student: float32, or what ``--amp`` makes of it.
        own_stream (bool): On a CUDA device, run beside the student's forward pass, on a stream of
            its own. Defaults to False.
        cache (str, optional): Folder in which to keep what the teacher makes of each image, for
            images that it sees again just so: see :class:`FeatureCache`. Defaults to None.
        cache_gib (float): How many GiB that folder may hold. Defaults to 50.

    Raises:
        UserError: Where the config or the checkpoint is missing or does not fit.
    """

    def __init__(
        self,
        config: str | dict,
        checkpoint: str,
        sha256: str | None = None,
        fuse: bool = True,
        channels_last: bool | None = None,
        precision: str | None = None,
        own_stream: bool = False,
        cache: str | PathLike | None = None,
        cache_gib: float = 50.0,
    ) -> None:
        config = detector_config(config)
        # The student's own random numbers must not depend on there being a teacher.
        with torch.random.fork_rng():
            self.detector = MODELS.build(config)
            if checkpoint == RANDOM:
                print_log('The teacher is untrained, as asked for.', 'current')
                self.detector.init_weights()
            else:
                load_strictly(self.detector, checkpoint, 'teacher', sha256)
        self.detector.eval().requires_grad_(False)
        self.views: dict[BaseDataPreprocessor, TeacherPreprocess] = {}
        self.counted: set[str] = set()  # the layers whose runs in a whole forward pass are known
        self.fuse = fuse
        self.channels_last = channels_last
        self.precision = precision
        self.own_stream = own_stream
        self.stream: SideStream | None = None
        self.expected: dict[str, Tap] = {}
        self.expects_features = False
        self.rewrites: list | None = None  # None until a batch has come to try them on
        self.cache = None if cache is None else FeatureCache(cache, cache_gib)
        self.identity = dict(
            config=str(config), fuse=fuse, channels_last=channels_last, torch=torch.__version__
        )
        if self.cache:
            self.identity['weights'] = weights_key(self.detector)

    @torch.no_grad()
    def __call__(
        self,
        images: Tensor,
        samples: Sequence[DetDataSample],
        preprocessor: BaseDataPreprocessor,
        taps: Sequence[Tap],
        needs_features: bool = False,
    ) -> TeacherOutput:
        """Run the teacher on the student's batch, exactly as far as is needed.

        On the first batch it runs to its end, to see whether a tapped layer runs more than once.

        Args:
            images (Tensor): The batch as the student sees it, `(N, 3, H, W)`.
            samples (Sequence[DetDataSample]): Its samples.
            preprocessor (BaseDataPreprocessor): What made the batch: the student's preprocessor.
            taps (Sequence[Tap]): What to record.
            needs_features (bool): Whether the teacher_output needs what the heads see, to classify.
                Defaults to False.

        Returns:
            TeacherOutput: One map per tap, and the teacher's classification where needed.
        """
        self.expect(taps, needs_features)
        if preprocessor not in self.views:
            warn_where_imitated(self.precision, images.device)
            if self.own_stream and images.device.type != 'cuda':
                print_log('teacher.own_stream does nothing here: it takes a CUDA device', 'current')
            self.views[preprocessor] = TeacherPreprocess(
                preprocessor, self.detector.data_preprocessor
            )
        teach = self._teach if self.cache is None else self._teach_from_cache
        with self._beside(images), self._computing(images.device):
            seen, views = self.views[preprocessor](images, samples)
            maps, features, cached = teach(seen, views, taps, needs_features)
        return TeacherOutput(
            dict(zip(taps, maps)),
            seen.shape[2:],
            features,
            find_logits(self.detector, 'teacher') if needs_features else None,
            partial(self._computing, images.device),
            cached,
            self.stream,
        )

    def expect(self, taps: Sequence[Tap], needs_features: bool) -> None:
        """Say what will be asked for, since the detector is rewritten with regard to all of it.

        Args:
            taps (Sequence[Tap]): What will be recorded.
            needs_features (bool): Whether it will have to classify.
        """
        expected = {**self.expected, **{tap.layer: tap for tap in taps}}
        features = needs_features or self.expects_features
        if (len(expected), features) == (len(self.expected), self.expects_features):
            return
        for one in reversed(self.rewrites or []):
            one.undo()
        self.expected, self.expects_features, self.rewrites = expected, features, None

    def _teach(
        self,
        seen: Tensor,
        views: Sequence[DetDataSample],
        taps: Sequence[Tap],
        needs_features: bool,
    ) -> tuple[list[Tensor], Sequence[Tensor] | None, None]:
        """Run the detector on a batch as it sees it."""
        self._rewrite_once(seen, views)
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
        maps = [tap.as_map(one, seen.shape, 'teacher') for tap, one in zip(taps, tapped)]
        # The losses, and what pools regions, see neither how it lays maps out nor its type.
        maps = [self._plain(one) for one in maps]
        seen_by_heads = features[0] if features else None
        if isinstance(seen_by_heads, (tuple, list)):
            seen_by_heads = [self._plain(one) for one in seen_by_heads]
        return maps, seen_by_heads, None

    def _plain(self, tapped: Tensor) -> Tensor:
        return (tapped if self.precision is None else tapped.float()).contiguous()

    def _teach_from_cache(
        self,
        seen: Tensor,
        views: Sequence[DetDataSample],
        taps: Sequence[Tap],
        needs_features: bool,
    ) -> tuple[list[Tensor], list[Tensor] | None, float]:
        """Run the detector on those images of a batch that are not in the cache."""
        if needs_features:  # its heads will run, and are not to round as no cache would have them
            self._rewrite_once(seen, views)

        def teach(missing: list[int]) -> list[Tensor]:
            maps, features, _ = self._teach(
                seen[missing], [views[i] for i in missing], taps, needs_features
            )
            return maps + (_maps_per_image(features, len(missing)) if needs_features else [])

        identity = self._identity(seen, taps, needs_features)
        tensors, cached = self.cache.recall(identity, seen, views, teach)
        features = tensors[len(taps) :] if needs_features else None
        return tensors[: len(taps)], features, cached

    def _identity(self, seen: Tensor, taps: Sequence[Tap], needs_features: bool) -> dict:
        """All that decides what the teacher gives for an image that it sees so."""
        one = next(self.detector.parameters()).new_ones(1, 1)
        return dict(
            self.identity,
            taps=[tap.layer for tap in taps],
            features=needs_features,
            device=seen.device.type,
            computes_in=str((one @ one).dtype),  # whatever autocast says
        )

    def _rewrite_once(self, seen: Tensor, views: Sequence[DetDataSample]) -> None:
        """Make the detector faster where it says the same then on this, the first, batch."""
        if self.rewrites is not None:
            return
        taps = list(self.expected.values())

        def answer() -> list[Tensor]:
            features: list[Sequence[Tensor]] | None = [] if self.expects_features else None
            with record(self.detector, taps, 'teacher', True, features) as tapped:
                self.detector(seen, views, mode='tensor')
            if not features:
                return tapped
            logits_reader = find_logits(self.detector, 'teacher')
            whole = seen.new_tensor([[i, 0, 0, *seen.shape[:1:-1]] for i in range(len(seen))])
            rois = [[whole] * logits_reader.stages] if isinstance(logits_reader, RoILogits) else []
            return [*tapped, *logits_reader.compute(features[0], *rois)]

        layout = seen.device.type == 'cpu' if self.channels_last is None else self.channels_last
        spared = [tap.module(self.detector, 'teacher') for tap in taps]
        wanted = self.fuse or layout
        self.rewrites = rewrite(self.detector, answer, self.fuse, layout, spared) if wanted else []

    def _computing(self, device: torch.device) -> AbstractContextManager:
        return computing_in(self.precision, device)

    def _beside(self, images: Tensor) -> AbstractContextManager:
        if not self.own_stream or images.device.type != 'cuda':
            return nullcontext()  # a device without streams does one thing after the other
        if self.stream is None:
            self.stream = SideStream(images.device)
        return self.stream.running([images])

    def apply(self, fn: Callable[[Tensor], Tensor]) -> None:
        """Move or cast the teacher along with the student: see ``nn.Module._apply``."""
        self.detector._apply(fn)

    def __deepcopy__(self, memo: dict) -> 'Teacher':
        return self


def _maps_per_image(features: object, count: int) -> list[Tensor]:
    """What heads see, if it is a sequence of maps, each with a row per image."""
    maps = list(features) if isinstance(features, (tuple, list)) else [None]
    if not all(isinstance(one, Tensor) and len(one) == count for one in maps):
        raise UserError(
            f'teacher.cache: the heads of this teacher see {type(features).__name__}, expected a '
            'sequence of maps (N, C, H, W), so KDLoss cannot be had from a cache: leave it out'
        )
    return maps
