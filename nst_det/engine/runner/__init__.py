from .bare_model import bare_model
from .loops import EpochBasedTrainLoop

__all__ = ['EpochBasedTrainLoop', 'bare_model']
