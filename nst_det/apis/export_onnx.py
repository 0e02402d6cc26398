"""A student as an ONNX file, an OpenVINO model and in INT8, each verified before it is kept."""

import platform
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor, nn

from nst_det.errors import UserError, refuse_existing
from nst_det.export.compare import Limits
from nst_det.export.info import model_info
from nst_det.export.latency import Latency, measure_latency
from nst_det.export.model_card import Measured, model_card
from nst_det.export.onnx_graph import record_graph, with_info
from nst_det.export.openvino_model import write_openvino
from nst_det.export.origin import Origin
from nst_det.export.quantize import calibration_images, quantize
from nst_det.export.test_set import MAP_TOLERANCE, TestSet, map_difference
from nst_det.export.verify import Batch, made_images, predict, verify
from nst_det.fileio.atomic import write_atomically
from nst_det.runtime.images import prepare, read_image
from nst_det.runtime.model_info import ModelInfo
from nst_det.runtime.session import OnnxSession, OpenVinoSession, Session

NEEDED = ('onnx', 'onnxruntime')
TEST_IMAGES = 16


@dataclass(frozen=True)
class OnnxModel:
    """A student's graph, in memory.

    Args:
        content (bytes): The ONNX file, with the description of the model.
        info (ModelInfo): This description.
        limits (Limits): What decides which detections the detector keeps.
    """

    content: bytes
    info: ModelInfo
    limits: Limits


def check_onnx(out: Path, option: str = '--onnx') -> None:
    """Check that an ONNX file can be written, before any other work.

    Args:
        out (Path): The file to write.
        option (str): The option that names it. Defaults to ``'--onnx'``.

    Raises:
        UserError: If a package is missing, the name has another ending, or the file exists.
    """
    missing = [name for name in NEEDED if not find_spec(name)]
    if missing:
        raise UserError(f"{option} needs {' and '.join(missing)}: pip install 'nst_det[onnx]'")
    if out.suffix != '.onnx':
        raise UserError(f'{option} is {out}, expected the name of a .onnx file')
    refuse_existing(out)
    refuse_existing(card_file(out))


def card_file(model: Path) -> Path:
    """Name the model card of an exported model.

    Args:
        model (Path): The ``.onnx`` file, or the folder of an OpenVINO model.

    Returns:
        Path: The card beside the file, or in the folder.
    """
    return model.with_suffix('.md') if model.suffix == '.onnx' else model / 'README.md'


def make_onnx(detector: nn.Module, cfg: Config, classes: Iterable[str]) -> OnnxModel:
    """Record the graph of a detector.

    Args:
        detector (nn.Module): The detector, in evaluation mode, on the CPU.
        cfg (Config): Its config, for the test pipeline.
        classes (Iterable[str]): The names of its classes.

    Returns:
        OnnxModel: The graph.

    Raises:
        UserError: If it cannot be exported: the error tells why.
    """
    graph, module = record_graph(detector)
    info = model_info(module, cfg, tuple(classes))
    return OnnxModel(with_info(graph, info), info, module.limits)


def verification_images(
    info: ModelInfo, test_set: TestSet | None, files: Iterable[Path] = ()
) -> list[Batch]:
    """Choose the images to verify a graph with.

    Args:
        info (ModelInfo): The description of the model.
        test_set (TestSet | None): The test set, of which 16 images are taken; or None.
        files (Iterable[Path]): Image files. Defaults to none.

    Returns:
        list[Batch]: These images, an empty grey one, noise of two sizes, and a batch of two.
    """
    batches = list(test_set.batches(TEST_IMAGES)) if test_set is not None else []
    for file in files:
        pixels, _ = prepare(read_image(file), info)
        batches.append(Batch('given images', torch.from_numpy(pixels)[None]))
    return batches + made_images(info)


def check_maps(maps: Mapping[str, Mapping[str, float]], name: str) -> None:
    """Check that a graph has the mean average precision of its detector.

    Args:
        maps (Mapping[str, Mapping[str, float]]): By ``'torch'`` or the name
            of a graph, the means by key.
        name (str): The name of the graph among them.

    Raises:
        UserError: If it differs by more than 1e-4.
    """
    difference = map_difference(maps[name], maps['torch'])
    if difference > MAP_TOLERANCE:
        raise UserError(
            f'the mAP of {name} differs from that of torch by {difference:.4f}, expected at most '
            f'{MAP_TOLERANCE}: not written'
        )


def measure_graphs(
    detector: nn.Module, sessions: Mapping[str, Session], shape: tuple[int, int], repeats: int
) -> tuple[dict[str, Latency], str]:
    """Time a detector and its graphs on one image of noise.

    Args:
        detector (nn.Module): The detector.
        sessions (Mapping[str, Session]): The graphs by name.
        shape (tuple[int, int]): Height and width of the image.
        repeats (int): How often each is timed.

    Returns:
        tuple[dict[str, Latency], str]: By name, and under which conditions.
    """
    channels = next(iter(sessions.values())).info.channels
    generator = torch.Generator().manual_seed(0)
    image: Tensor = 255 * torch.rand(1, channels, *shape, generator=generator)
    array: np.ndarray = image.numpy()
    functions: dict[str, Callable[[], object]] = {'torch': partial(predict, detector, image)}
    for name, session in sessions.items():
        functions[name] = partial(session.run, array)
    latency = measure_latency(functions, repeats)
    threads = torch.get_num_threads()
    machine = platform.processor() or platform.machine()
    return latency, f'{shape[0]} x {shape[1]} pixels, {machine}, {threads} threads'


@dataclass
class Export:
    """Writes the graph of a student in several forms, each only if it detects the same.

    Args:
        student (nn.Module): The student, in evaluation mode, on the CPU.
        model (OnnxModel): Its graph.
        cfg (Config): The config that it is exported with, for the cards.
        origin (Origin): Where its weights come from, for the cards.
        test_set (TestSet | None): What to measure mAP on; None: nothing.
        files (list[Path]): Images to verify the graphs with.
        repeats (int): How often each graph is timed; 0: not at all.
        license_text (str | None): The license of the weights.
    """

    student: nn.Module
    model: OnnxModel
    cfg: Config
    origin: Origin
    test_set: TestSet | None
    files: list[Path]
    repeats: int
    license_text: str | None

    def __post_init__(self) -> None:
        self._batches = verification_images(self.model.info, self.test_set, self.files)
        self._student_maps: dict[str, float] | None = None
        self._threads = torch.get_num_threads()  # so that the times can be compared

    def write_onnx(self, out: Path) -> None:
        """Write an ONNX file and its card.

        Args:
            out (Path): The file.

        Raises:
            UserError: If the graph detects something else than the student.
        """
        measured = self._check('ONNX Runtime', OnnxSession(self.model.content, self._threads))
        write_atomically(out, self.model.content)
        self._write_card(out, measured)

    def write_openvino(self, folder: Path) -> None:
        """Write an OpenVINO model and its card.

        Args:
            folder (Path): The folder.

        Raises:
            UserError: If the model detects something else than the student.
        """
        with tempfile.TemporaryDirectory(
            prefix=f'{folder.name}.', dir=_made(folder.parent)
        ) as part:
            built = Path(part, folder.name)
            write_openvino(self.model.content, self.model.info, built)
            measured = self._check('OpenVINO', OpenVinoSession(built, self._threads))
            built.rename(folder)
        self._write_card(folder, measured)

    def write_int8(self, out: Path, plain: Config, images: int) -> None:
        """Write an ONNX file in INT8 and its card. Its boxes may differ: its mAP tells how much.

        Args:
            out (Path): The file.
            plain (Config): The config of the student, which names the training set.
            images (int): How many training images to calibrate on.
        """
        content = quantize(self.model.content, calibration_images(plain, images))
        session = OnnxSession(content, self._threads)
        outputs = session.run(self._batches[0].images.numpy())
        if not all(np.isfinite(outputs[name]).all() for name in ('boxes', 'scores')):
            raise UserError('the graph in INT8 gives NaN: not written')
        measured = self._measure('ONNX Runtime, INT8', session, 'not compared: INT8 rounds')
        write_atomically(out, content)
        self._write_card(out, measured)

    def _check(self, name: str, session: Session) -> Measured:
        """Verify a graph, and measure it."""
        found = verify(self.student, session, self._batches, self.model.limits)
        print(f'{name} beside torch\n{found.table()}', flush=True)
        if found.differs:
            raise UserError(
                f'{name} detects something else than the student, in {found.problem}: not written. '
                'A detector that was hardly trained has many equal scores, and rounding changes '
                'its detections'
            )
        if not any(kind.expected for kind in found.kinds.values()):
            print(
                'The student detects nothing in these images, so no box was compared: give images '
                'with objects by --verify',
                flush=True,
            )
        measured = self._measure(name, session, found.verdict)
        if measured.maps:
            check_maps(measured.maps, name)
        return measured

    def _measure(self, name: str, session: Session, verdict: str) -> Measured:
        maps: dict[str, dict[str, float]] = {}
        if self.test_set is not None:
            if self._student_maps is None:
                self._student_maps = self.test_set.evaluate_detector(self.student)
            if not self._student_maps:
                raise UserError(
                    'the metric of the test set gives no mAP of the student, which so cannot be '
                    'compared: it detects nothing there, or the test_evaluator measures something '
                    'else'
                )
            maps = {'torch': self._student_maps, name: self.test_set.evaluate_graph(session)}
            for one, values in maps.items():
                print(f'{one}: ' + ', '.join(f'{key} {value:.4f}' for key, value in values.items()))
        latency: dict[str, Latency] = {}
        conditions = ''
        if self.repeats:
            shape = self._batches[0].images.shape[2:]
            latency, conditions = measure_graphs(
                self.student, {name: session}, (shape[0], shape[1]), self.repeats
            )
        test_set = self.test_set.description if self.test_set is not None else ''
        return Measured(maps, latency, conditions, verdict, test_set)

    def _write_card(self, model: Path, measured: Measured) -> None:
        card = model_card(
            self.cfg, self.origin, self.model.info, {'model': model}, measured, self.license_text
        )
        write_atomically(card_file(model), card.encode())
        print(f'Wrote {model} and {card_file(model)}', flush=True)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
