"""The teacher: a frozen detector or backbone, run only to the last layer that a transfer reads."""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from os import PathLike

import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.logging import print_log
from mmengine.model import BaseDataPreprocessor
from mmengine.registry import DefaultScope
from torch import Size, Tensor, nn

from nst_det.errors import UserError, one_line
from nst_det.fileio.fit import load_strictly
from nst_det.models.distillers.taps.dummy_batch import image_channels
from nst_det.models.distillers.taps.logits import RoILogits, find_logits
from nst_det.models.distillers.taps.recorder import record
from nst_det.models.distillers.taps.tap import Tap
from nst_det.models.distillers.teacher.bare_backbone import teacher_model
from nst_det.models.distillers.teacher.compiled_passes import CompiledPasses
from nst_det.models.distillers.teacher.feature_cache import (
    FeatureCache,
    image_key,
    weights_key,
)
from nst_det.models.distillers.teacher.output import TeacherOutput
from nst_det.models.distillers.teacher.precision import (
    PRECISIONS,
    computed_in,
    precision_context,
    warn_if_emulated,
)
from nst_det.models.distillers.teacher.preprocess import TeacherPreprocess
from nst_det.models.distillers.teacher.single_images import (
    cut_out,
    groups_of_one_shape,
    together,
)
from nst_det.models.distillers.teacher.speedups import apply_speedups

RANDOM = 'random'


def build_teacher(model: dict) -> nn.Module:
    """Build the detector of a teacher, whose config may name its types as text.

    A student's config in pure Python has no default scope, in which they would be found.

    Args:
        model (dict): The model dict, see :func:`teacher_model`.

    Returns:
        nn.Module: The detector.
    """
    scope = DefaultScope.get_current_instance()
    missing = scope is None or scope.scope_name == 'mmengine'
    with DefaultScope.overwrite_default_scope('mmdet' if missing else None):
        return MODELS.build(model)


class Teacher:
    """A frozen detector or backbone, run only to the last layer that a transfer reads.

    It is no ``nn.Module``, so that no optimizer, checkpoint, EMA or DDP finds its parameters. A
    copy of a distiller shares its teacher.

    Args:
        config (str or dict): The detector's config: a path, ``'mmdet::…'``, a complete config or a
            model dict. If it is the config of a distiller, its student becomes the teacher.
            Defaults to None, for a teacher that is no detector.
        checkpoint (str, optional): Path or URL of the teacher's weights; every key must fit.
            ``'random'`` asks for an untrained teacher. Defaults to None, for a ``backbone`` whose
            own config names its weights.
        sha256 (str, optional): The checkpoint's SHA-256 in hex, or at least its first 8 digits. A
            file with another hash is refused. Defaults to None.
        prefix (str, optional): What the names of the teacher's weights begin with in the
            checkpoint, such as ``'teacher.'``. Defaults to None: it is found, unless several fit.
        fuse (bool): Fold batch norms into the convolutions before them. The outputs are compared on
            the first batch, and the folding is undone if they change by more than float32
            rounding. Defaults to True.
        channels_last (bool, optional): Store the weights and the feature maps channels last, with
            the same comparison. Defaults to None: on a CPU only.
        compile (bool): Compile the pass by ``torch.compile``, with CUDA graphs on a GPU. Its
            outputs are compared once for each shape of a batch: see :class:`CompiledPasses`.
            Defaults to False.
        compile_shapes (int): For how many shapes of a batch it is compiled at most, the first ones
            that are met. Defaults to 4.
        precision (str, optional): ``'float32'``, ``'bfloat16'`` or ``'float16'``, independent of
            the student's precision. The losses are always computed in float32. Defaults to None:
            the student's precision, which is float32 without ``--amp``.
        cache (str, optional): A folder for the feature maps of each image. If an image comes again
            unchanged, its feature maps are read from there: see :class:`FeatureCache`. The teacher
            then sees each image as in a batch of its own, without the padding to the size of the
            other images. Defaults to None, no cache.
        cache_gib (float): The maximum size of that folder in GiB. Defaults to 50.
        cache_precision (str, optional): The type in which feature maps are kept there,
            ``'bfloat16'`` or ``'float16'`` for half of the space. Defaults to None, the type in
            which they were computed.
        backbone (dict, optional): The config of a backbone, in place of ``config``: see
            :class:`BareBackbone`. Defaults to None.
        data_preprocessor (dict, optional): The config of the data preprocessor of ``backbone``.
            Defaults to None, that of the backbone's weights if it tells.
        scale (float): The size of the teacher's images over that of the student's: 1.5 enlarges
            each side by half. The feature maps are brought to the positions of the student's.
            Defaults to 1.0.

    Raises:
        UserError: If the config or the checkpoint is missing or does not fit.
    """

    def __init__(
        self,
        config: str | dict | None = None,
        checkpoint: str | None = None,
        sha256: str | None = None,
        fuse: bool = True,
        channels_last: bool | None = None,
        precision: str | None = None,
        cache: str | PathLike | None = None,
        cache_gib: float = 50.0,
        cache_precision: str | None = None,
        backbone: dict | None = None,
        data_preprocessor: dict | None = None,
        prefix: str | None = None,
        scale: float = 1.0,
        compile: bool = False,
        compile_shapes: int = 4,
    ) -> None:
        model = teacher_model(
            dict(config=config, backbone=backbone, data_preprocessor=data_preprocessor)
        )
        # The random numbers of the student must not depend on whether there is a teacher.
        with torch.random.fork_rng():
            self.detector = build_teacher(model)
            if checkpoint is None or checkpoint == RANDOM:
                if checkpoint == RANDOM:
                    print_log("The teacher is untrained (checkpoint='random').", 'current')
                self.detector.init_weights()
            else:
                weighted = self.detector if backbone is None else self.detector.backbone
                load_strictly(weighted, checkpoint, 'teacher', sha256, prefix)
        self.detector.eval()  # of some detectors of mmdet it returns nothing
        self.detector.requires_grad_(False)
        self.fuse = fuse
        self.channels_last = channels_last
        self.compiled = CompiledPasses(compile_shapes) if compile else None
        self.precision = precision
        self.scale = scale
        self.preprocess: dict[BaseDataPreprocessor, TeacherPreprocess] = {}
        self.counted: set[str] = set()  # layers whose runs in one forward pass are counted
        self.taps: dict[str, Tap] = {}  # every tap that was asked for, by its layer
        self.uses_head_inputs = False
        self.speedups: list | None = None  # None until the first batch
        self.cache: FeatureCache | None = None
        if cache is not None:
            stored = None if cache_precision is None else PRECISIONS[cache_precision]
            self.cache = FeatureCache(cache, cache_gib, stored)
        self.identity: dict[str, object] = {}
        if self.cache:
            self.identity = dict(
                # In one spelling, whether the config was read from a file or built in Python.
                config=json.dumps(model, sort_keys=True, default=str),
                fuse=fuse,
                channels_last=channels_last,
                torch=torch.__version__,
                weights=weights_key(self.detector),
                **(dict(compile=True) if compile else {}),
            )

    @torch.no_grad()
    def __call__(
        self,
        inputs: Tensor,
        samples: Sequence[DetDataSample],
        preprocessor: BaseDataPreprocessor,
        taps: Sequence[Tap],
        with_logits: bool = False,
    ) -> TeacherOutput:
        """Run the teacher on the student's batch, only as far as is needed.

        On the first batch it runs to its end, to find out whether a tapped layer runs several
        times.

        Args:
            inputs (Tensor): The student's batch, `(N, 3, H, W)`.
            samples (Sequence[DetDataSample]): The samples of the batch.
            preprocessor (BaseDataPreprocessor): The student's preprocessor, which made the batch.
            taps (Sequence[Tap]): The taps to record.
            with_logits (bool): Whether the logits will be computed as well. Defaults to False.

        Returns:
            TeacherOutput: One feature map per tap, and the logits on request.
        """
        self.prepare(taps, with_logits)
        device = inputs.device
        with self._precision_context(device):
            preprocess = self._preprocess(preprocessor, inputs)
            shapes = [preprocess.own_shape(sample, inputs.shape[2:]) for sample in samples]
            inputs, samples = preprocess(inputs, samples)
            batch_input_shape = inputs.shape[2:]
            cached_share = None
            if self.cache is None:
                feature_maps, head_inputs = self._forward(inputs, samples, taps, with_logits)
            else:
                images = cut_out(inputs, samples, shapes)
                feature_maps, head_inputs, cached_share = self._forward_with_cache(
                    images, preprocess.recipe, taps, with_logits
                )
                batch_input_shape = Size(max(sides) for sides in zip(*shapes))
        return TeacherOutput(
            feature_maps=dict(zip(taps, feature_maps)),
            batch_input_shape=batch_input_shape,
            head_inputs=head_inputs,
            logits=find_logits(self.detector, 'teacher') if with_logits else None,
            precision_context=partial(self._precision_context, device),
            cached_share=cached_share,
            scale=self.scale,
        )

    def prepare(self, taps: Sequence[Tap], with_logits: bool) -> None:
        """Note what later batches will ask for: a speed-up must leave all of it unchanged.

        Args:
            taps (Sequence[Tap]): The taps that will be recorded.
            with_logits (bool): Whether the logits will be computed.
        """
        all_taps = {**self.taps, **{tap.layer: tap for tap in taps}}
        uses_head_inputs = with_logits or self.uses_head_inputs
        if len(all_taps) == len(self.taps) and uses_head_inputs == self.uses_head_inputs:
            return
        for speedup in reversed(self.speedups or []):
            speedup.undo()
        self._forget_compiled()
        self.taps, self.uses_head_inputs, self.speedups = all_taps, uses_head_inputs, None

    def _preprocess(self, preprocessor: BaseDataPreprocessor, images: Tensor) -> TeacherPreprocess:
        if preprocessor not in self.preprocess:
            warn_if_emulated(self.precision, images.device)
            self.preprocess[preprocessor] = TeacherPreprocess(
                preprocessor,
                self.detector.data_preprocessor,
                channels=images.shape[1],
                teacher_channels=image_channels(self.detector),
                scale=self.scale,
            )
        return self.preprocess[preprocessor]

    def _forward(
        self,
        inputs: Tensor,
        samples: Sequence[DetDataSample],
        taps: Sequence[Tap],
        with_logits: bool,
    ) -> tuple[list[Tensor], Sequence[Tensor] | None]:
        """Run the detector on a preprocessed batch, compiled if that was asked for."""
        self._speed_up_once(inputs, samples)
        counted = all(tap.path in self.counted or tap.call is not None for tap in taps)
        run = partial(self._run, inputs, samples, taps, with_logits, counted)
        if self.compiled is None or not counted:
            tapped, head_inputs = run()
        else:
            request = tuple(tap.layer for tap in taps), with_logits
            operations = partial(self._run_on_images, taps, with_logits)
            tapped, head_inputs = self.compiled(request, inputs, run, operations)
        self.counted.update(tap.path for tap in taps)
        feature_maps = [
            self._plain(tap.as_map(tensor, inputs.shape, 'teacher'))
            for tap, tensor in zip(taps, tapped)
        ]
        if isinstance(head_inputs, (tuple, list)):
            head_inputs = [self._plain(feature_map) for feature_map in head_inputs]
        return feature_maps, head_inputs

    def _run(
        self,
        inputs: Tensor,
        samples: Sequence[DetDataSample],
        taps: Sequence[Tap],
        with_logits: bool,
        counted: bool,
    ) -> tuple[list[Tensor], Sequence[Tensor] | None]:
        """Run the detector as far as is needed, or to its end to count the calls of its layers."""
        with self._recording(taps, with_logits, counted) as (tapped, features):
            try:
                self.detector(inputs, samples, mode='tensor')
            except Exception as error:
                if counted or features == [] or any(tensor is None for tensor in tapped):
                    raise
                print_log(
                    'The teacher fails after its tapped layers when it has no annotations. The '
                    'tapped layers are recorded; whether they run again later is not checked '
                    f'({one_line(error)})',
                    'current',
                    logging.WARNING,
                )
        return tapped, features[0] if features else None

    def _run_on_images(
        self, taps: Sequence[Tap], with_logits: bool, inputs: Tensor
    ) -> tuple[list[Tensor], Sequence[Tensor] | None]:
        """Run what depends on the images alone, and not on their samples: backbone and neck."""
        with self._recording(taps, with_logits, stop_early=True) as (tapped, features):
            self.detector.extract_feat(inputs)
            raise UserError(
                'a transfer reads what the heads compute, but only backbone and neck are compiled'
            )
        return tapped, features[0] if features else None

    @contextmanager
    def _recording(
        self, taps: Sequence[Tap], with_logits: bool, stop_early: bool
    ) -> Iterator[tuple[list[Tensor], list[Sequence[Tensor]] | None]]:
        """Record what the taps read and, on request, what the heads take; stop after the last."""
        features: list[Sequence[Tensor]] | None = [] if with_logits else None
        record_head = (
            find_logits(self.detector, 'teacher').record_head_inputs if with_logits else None
        )
        with record(self.detector, taps, 'teacher', stop_early, features, record_head) as tapped:
            yield tapped, features

    def _plain(self, feature_map: Tensor) -> Tensor:
        """Give a feature map the memory layout, and in a chosen precision the type, of a loss."""
        return (feature_map if self.precision is None else feature_map.float()).contiguous()

    def _forward_with_cache(
        self,
        images: Sequence[tuple[Tensor, DetDataSample]],
        recipe: str | None,
        taps: Sequence[Tap],
        with_logits: bool,
    ) -> tuple[list[Tensor], list[Tensor] | None, float]:
        """Run the detector on the preprocessed images that the cache lacks, each by itself."""
        shapes = [(image.shape[1], image.shape[2]) for image, _ in images]
        if with_logits:  # the heads always run, and must compute as they do without a cache
            self._speed_up_once(images[0][0][None], [images[0][1]])

        def compute(missing: list[int]) -> list[list[Tensor]]:
            tensors: dict[int, list[Tensor]] = {}
            for group in groups_of_one_shape([shapes[i] for i in missing]):
                chosen = [missing[position] for position in group]
                inputs = torch.stack([images[i][0] for i in chosen])
                samples = [images[i][1] for i in chosen]
                feature_maps, head_inputs = self._forward(inputs, samples, taps, with_logits)
                if with_logits:
                    feature_maps = feature_maps + _rows_per_image(head_inputs, len(chosen))
                for row, i in enumerate(chosen):
                    tensors[i] = [feature_map[row] for feature_map in feature_maps]
            return [tensors[i] for i in missing]

        device = images[0][0].device
        keys = [image_key(image, sample, recipe) for image, sample in images]
        identity = self._identity(device, taps, with_logits)
        found, cached_share = self.cache.get_or_compute(identity, keys, compute, device)
        tensors = together(found)
        head_inputs = tensors[len(taps) :] if with_logits else None
        return tensors[: len(taps)], head_inputs, cached_share

    def _identity(self, device: torch.device, taps: Sequence[Tap], with_logits: bool) -> dict:
        """Everything but the image that the teacher's output depends on."""
        return dict(
            self.identity,
            taps=[tap.layer for tap in taps],
            head_inputs=with_logits,
            device=device.type,
            computed_in=str(computed_in(next(self.detector.parameters()))),
        )

    def _speed_up_once(self, inputs: Tensor, samples: Sequence[DetDataSample]) -> None:
        """Apply the speed-ups that leave the outputs for the first batch unchanged."""
        if self.speedups is not None:
            return
        on_cpu = inputs.device.type == 'cpu'
        channels_last = on_cpu if self.channels_last is None else self.channels_last
        self.speedups = []
        if self.fuse or channels_last:
            self.speedups = apply_speedups(
                self.detector,
                partial(self._all_outputs, inputs, samples),
                self.fuse,
                channels_last,
                kept=[tap.module(self.detector, 'teacher') for tap in self.taps.values()],
            )

    def _all_outputs(self, inputs: Tensor, samples: Sequence[DetDataSample]) -> list[Tensor]:
        """Compute every output that was asked for so far; the logits for the complete images."""
        features: list[Sequence[Tensor]] | None = [] if self.uses_head_inputs else None
        taps = list(self.taps.values())
        logits = find_logits(self.detector, 'teacher') if self.uses_head_inputs else None
        record_head = logits.record_head_inputs if logits else None
        with record(self.detector, taps, 'teacher', True, features, record_head) as tapped:
            self.detector(inputs, samples, mode='tensor')
        if not features:
            return tapped
        if not isinstance(logits, RoILogits):
            return [*tapped, *logits.compute(features[0])]
        height, width = inputs.shape[2:]
        rois = inputs.new_tensor([[i, 0, 0, width, height] for i in range(len(inputs))])
        return [*tapped, *logits.compute(features[0], [rois] * logits.stages)]

    def _precision_context(self, device: torch.device) -> AbstractContextManager:
        return precision_context(self.precision, device)

    def apply(self, fn: Callable[[Tensor], Tensor]) -> None:
        """Move or cast the teacher with the student: see ``nn.Module._apply``."""
        self.detector._apply(fn)
        self._forget_compiled()

    def _forget_compiled(self) -> None:
        if self.compiled is not None:
            self.compiled.forget()

    def __deepcopy__(self, memo: dict) -> 'Teacher':
        return self


def _rows_per_image(head_inputs: object, count: int) -> list[Tensor]:
    """Check that the inputs of the heads are feature maps with one row per image."""
    feature_maps = list(head_inputs) if isinstance(head_inputs, (tuple, list)) else [None]
    if not all(isinstance(value, Tensor) and len(value) == count for value in feature_maps):
        raise UserError(
            'teacher.cache cannot serve KDLoss with this teacher: its heads take a '
            f'{type(head_inputs).__name__}, expected a sequence of feature maps (N, C, H, W): '
            'leave teacher.cache out',
            'teacher.cache',
        )
    return feature_maps
