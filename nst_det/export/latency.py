"""The latency of detectors and graphs, measured in turns."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tqdm import tqdm

WARM_UP = 3


@dataclass(frozen=True)
class Latency:
    """The time of one call.

    Args:
        median (float): In seconds.
        low (float): The first quartile.
        high (float): The third quartile.
    """

    median: float
    low: float
    high: float

    def text(self) -> str:
        """Write it in milliseconds, such as ``'12.3 (11.9 to 13.0)'``."""
        return f'{1e3 * self.median:.1f} ({1e3 * self.low:.1f} to {1e3 * self.high:.1f})'


def measure_latency(
    functions: Mapping[str, Callable[[], object]], repeats: int
) -> dict[str, Latency]:
    """Time functions in turns, so that other work of the machine slows all of them.

    Args:
        functions (Mapping[str, Callable]): The functions by name.
        repeats (int): How often each is timed, at least 2.

    Returns:
        dict[str, Latency]: By name.
    """
    times: dict[str, list[float]] = {name: [] for name in functions}
    for turn in tqdm(range(WARM_UP + repeats), 'timing', leave=False):
        for name, function in functions.items():
            started = time.perf_counter()
            function()
            if turn >= WARM_UP:
                times[name].append(time.perf_counter() - started)
    found = {}
    for name, seconds in times.items():
        low, median, high = statistics.quantiles(seconds, n=4, method='inclusive')
        found[name] = Latency(median, low, high)
    return found
