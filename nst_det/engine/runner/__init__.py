from .log_processor import LogProcessor
from .loops import EpochBasedTrainLoop
from .unwrap_model import unwrap_model

__all__ = ['EpochBasedTrainLoop', 'LogProcessor', 'unwrap_model']
