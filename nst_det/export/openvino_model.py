"""An OpenVINO model, converted from the ONNX file."""

import tempfile
from importlib.util import find_spec
from pathlib import Path

from nst_det.errors import UserError, one_line, refuse_existing
from nst_det.runtime.model_info import KEY, ModelInfo

NAME = 'model'


def check_openvino(folder: Path) -> None:
    """Check that an OpenVINO model can be written, before any other work.

    Args:
        folder (Path): The folder to write.

    Raises:
        UserError: If OpenVINO is not installed, or the folder exists.
    """
    if find_spec('openvino') is None:
        raise UserError("--openvino needs openvino: pip install 'nst_det[openvino]'")
    refuse_existing(folder)


def write_openvino(graph: bytes, info: ModelInfo, folder: Path) -> None:
    """Convert an ONNX file, and write ``model.xml`` and ``model.bin`` in float32.

    Args:
        graph (bytes): The ONNX file.
        info (ModelInfo): The description of the model, which is written into it.
        folder (Path): The folder to write. It may not exist yet.

    Raises:
        UserError: If it cannot be converted.
    """
    import openvino

    with tempfile.TemporaryDirectory() as part:
        source = Path(part, 'source.onnx')
        source.write_bytes(graph)
        try:
            model = openvino.convert_model(source)
            model.set_rt_info(info.to_json(), [KEY])
            openvino.save_model(model, folder / f'{NAME}.xml', compress_to_fp16=False)
        except RuntimeError as error:
            raise UserError(f'OpenVINO cannot convert the graph: {one_line(error):.300}') from error
