"""A log line that has no value twice: what was not measured anew is left out."""

from typing import Any

from mmdet.registry import LOG_PROCESSORS
from mmengine.runner import LogProcessor as _LogProcessor
from mmengine.runner import Runner


@LOG_PROCESSORS.register_module()
class LogProcessor(_LogProcessor):
    """The log processor of mmengine, changed so that it leaves out values that are not new.

    mmengine repeats the last value of whatever was ever logged. Here a line of a training has only
    values with an entry since the last line. So the log shows a gradient ratio, which is measured
    every so many iterations, once, and no loss of a transfer that a schedule has stopped.

    In the scope of mmdet it replaces the class of mmengine, and takes the same arguments.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.counts: dict[str, int] = {}  # entries of each value when it was last logged

    def get_log_after_iter(self, runner: Runner, batch_idx: int, mode: str) -> tuple[dict, str]:
        """Write the line of an iteration: see mmengine's ``LogProcessor``."""
        scalars = runner.message_hub.log_scalars
        counts = {key: len(buffer.data[0]) for key, buffer in scalars.items()}
        old = {
            key: buffer
            for key, buffer in scalars.items()
            # A full buffer drops an entry for each new one.
            if mode == 'train'
            and counts[key] == self.counts.get(key)
            and counts[key] < buffer.max_length
        }
        order = list(scalars)
        for key in old:
            del scalars[key]
        try:
            return super().get_log_after_iter(runner, batch_idx, mode)
        finally:
            self.counts.update(counts)
            values = {**scalars, **old}
            scalars.clear()
            scalars.update({key: values[key] for key in order})
