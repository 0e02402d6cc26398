"""Running an exported graph: an ONNX file in ONNX Runtime, or an OpenVINO model."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from nst_det.errors import UserError, one_line
from nst_det.runtime.model_info import KEY, ModelInfo


class Session(Protocol):
    """A graph that is ready to run.

    Attributes:
        info (ModelInfo): What the model knows about itself.
    """

    info: ModelInfo

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Run the graph.

        Args:
            images (np.ndarray): `(N, C, H, W)`, float32, BGR from 0 to 255.

        Returns:
            dict[str, np.ndarray]: ``boxes`` `(n, 4)`, ``scores``, ``labels`` and ``image_index``
            `(n,)`, and from a model with masks ``masks``.
        """


class OnnxSession:
    """An ONNX file in ONNX Runtime, on the CPU.

    Args:
        model (Path | bytes): The file, or its content.
        threads (int): The number of threads. Defaults to 0: as many as there are cores.

    Raises:
        UserError: If ONNX Runtime is not installed, or it is no file that nst_det wrote.
    """

    def __init__(self, model: Path | bytes, threads: int = 0) -> None:
        onnxruntime = _import('onnxruntime')
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads
        name = str(model) if isinstance(model, Path) else 'the graph'
        try:
            self._session = onnxruntime.InferenceSession(
                str(model) if isinstance(model, Path) else model,
                options,
                providers=['CPUExecutionProvider'],
            )
        except Exception as error:  # ONNX Runtime raises kinds of its own
            raise UserError(f'{name} cannot be loaded: {one_line(error):.300}') from error
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.info = _info(metadata.get(KEY), name)
        self._names = [output.name for output in self._session.get_outputs()]

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Run the graph, see `Session.run`."""
        return dict(zip(self._names, self._session.run(self._names, {'images': images})))


class OpenVinoSession:
    """An OpenVINO model on the CPU, in float32 where the graph has it.

    Args:
        folder (Path): The folder with its ``.xml``, or the ``.xml`` itself.
        threads (int): The number of threads. Defaults to 0: as many as there are cores.

    Raises:
        UserError: If OpenVINO is not installed, or it is no model that nst_det wrote.
    """

    def __init__(self, folder: Path, threads: int = 0) -> None:
        file = find_xml(folder)
        openvino = _import('openvino')
        # Without a hint, some CPUs would compute in bfloat16.
        options: dict[str, Any] = dict(INFERENCE_PRECISION_HINT='f32', PERFORMANCE_HINT='LATENCY')
        if threads:
            options['INFERENCE_NUM_THREADS'] = threads
        try:
            core = openvino.Core()
            model = core.read_model(file)
            text = model.get_rt_info([KEY]).astype(str) if model.has_rt_info([KEY]) else None
            self._names = [output.any_name for output in model.outputs]
            self._model = core.compile_model(model, 'CPU', options)
        except RuntimeError as error:
            raise UserError(f'{file} cannot be loaded: {one_line(error):.300}') from error
        self.info = _info(text, str(file))

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Run the graph, see `Session.run`."""
        found = self._model(images)
        return {name: np.array(found[i]) for i, name in enumerate(self._names)}


def open_session(path: str | Path, threads: int = 0) -> Session:
    """Open an exported model.

    Args:
        path (str | Path): A ``.onnx`` file, or an OpenVINO folder.
        threads (int): The number of threads. Defaults to 0: as many as there are cores.

    Returns:
        Session: The model, ready to run.

    Raises:
        UserError: If it is neither, or its runtime is not installed.
    """
    path = Path(path)
    if path.suffix == '.onnx':
        if not path.is_file():
            raise UserError(f'there is no model {path.absolute()}')
        return OnnxSession(path, threads)
    return OpenVinoSession(path, threads)


def find_xml(path: Path) -> Path:
    """Find the ``.xml`` of an OpenVINO model.

    Args:
        path (Path): Its folder, or the file itself.

    Returns:
        Path: The file.

    Raises:
        UserError: If there is none, or more than one.
    """
    files = sorted(path.glob('*.xml')) if path.is_dir() else [path]
    if len(files) != 1 or files[0].suffix != '.xml' or not files[0].is_file():
        raise UserError(
            f'{path.absolute()} is no model: expected a .onnx file, a checkpoint, or the folder of '
            'an OpenVINO model with one .xml in it'
        )
    return files[0]


def _import(name: str) -> Any:
    if find_spec(name) is None:
        raise UserError(f'this needs {name}: pip install {name}')
    return __import__(name)


def _info(text: str | None, name: str) -> ModelInfo:
    if text is None:
        raise UserError(
            f'{name} does not tell its classes and its preprocessing: expected a model that '
            'nst_det export_student wrote'
        )
    return ModelInfo.from_json(text, name)
