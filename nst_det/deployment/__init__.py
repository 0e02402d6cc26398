"""A trained student on its way out: a plain checkpoint, an ONNX graph, what it costs."""

from nst_det.deployment.batch_norm_fusion import fuse_batch_norms
from nst_det.deployment.detector_cost import DetectorCost, cost_table, measure_costs
from nst_det.deployment.onnx_graph import check_onnx, read_image, write_onnx
from nst_det.deployment.plain_config import plain_config
from nst_det.deployment.student_export import StudentFiles, load_student, write_student

__all__ = [
    'DetectorCost',
    'StudentFiles',
    'check_onnx',
    'cost_table',
    'fuse_batch_norms',
    'load_student',
    'measure_costs',
    'plain_config',
    'read_image',
    'write_onnx',
    'write_student',
]
