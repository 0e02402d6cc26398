"""A distillation from two configs to a report, in one call."""

from .steps import Distillation

__all__ = ['Distillation']
