"""Runners that start quickly: without what takes them seconds and no test looks at."""

from mmengine.config import config
from mmengine.runner import runner


def apply() -> None:
    """Have Runners ask no compiler for its version, and write configs without formatting them."""
    runner.collect_env = dict
    config.FormatCode = lambda text, **options: (text, True)


apply()
