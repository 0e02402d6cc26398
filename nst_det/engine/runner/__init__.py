from .loops import EpochBasedTrainLoop

__all__ = ['EpochBasedTrainLoop']
