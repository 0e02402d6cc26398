from .loops import EpochBasedTrainLoop
from .unwrap_model import unwrap_model

__all__ = ['EpochBasedTrainLoop', 'unwrap_model']
