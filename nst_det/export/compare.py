"""Comparing the detections of a graph with those of its detector, one image at a time."""

from dataclasses import dataclass, field

import numpy as np

BOX_TOLERANCE = 0.05  # in pixels, for each side of a box, and 1e-4 of the largest one
SCORE_TOLERANCE = 1e-3
MASK_TOLERANCE = 0.02  # of the pixels of a box
TIE = 1e-5  # scores that are as close as this are equal to rounding


@dataclass(frozen=True)
class Found:
    """The detections in one image.

    Args:
        boxes (np.ndarray): `(n, 4)`, in pixels.
        scores (np.ndarray): `(n,)`.
        labels (np.ndarray): `(n,)`.
        masks (np.ndarray | None): `(n, H, W)`, of bool. Defaults to None.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    masks: np.ndarray | None = None


@dataclass(frozen=True)
class Limits:
    """What decides which detections are kept, so that equal scores there are ties.

    Args:
        score_thr (float): The score above which a detection is one.
        most (int): How many of an image are kept.
    """

    score_thr: float
    most: int


@dataclass
class Comparison:
    """How the detections of a graph differ from those of its detector, in one image or several.

    Args:
        expected (int): Detections of the detector. Defaults to 0.
        given (int): Detections of the graph. Defaults to 0.
        matched (int): Pairs of one class, whose boxes and scores agree. Defaults to 0.
        ties (int): Detections of one side alone that equal scores explain: of boxes with one score
            either may be kept, so the other side has another one of it alone; or the score is at
            the threshold. Defaults to 0.
        box (float): The largest difference of a side of a pair, in pixels. Defaults to 0.
        score (float): The largest difference of a score of a pair. Defaults to 0.
        mask (float): The largest share of a box's pixels that differ in its mask. Defaults to 0.
        wrong (list[str]): What differs, in words. Defaults to nothing.
    """

    expected: int = 0
    given: int = 0
    matched: int = 0
    ties: int = 0
    box: float = 0.0
    score: float = 0.0
    mask: float = 0.0
    wrong: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """str: ``'equal'``, ``'equal but for ties'`` or ``'differs'``."""
        if self.wrong:
            return 'differs'
        return 'equal but for ties' if self.ties else 'equal'

    def add(self, other: 'Comparison') -> None:
        """Add what was found in another image.

        Args:
            other (Comparison): The comparison of the other image.
        """
        for name in ('expected', 'given', 'matched', 'ties'):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ('box', 'score', 'mask'):
            setattr(self, name, max(getattr(self, name), getattr(other, name)))
        self.wrong += other.wrong


def compare(expected: Found, given: Found, limits: Limits) -> Comparison:
    """Compare the detections in an image.

    Each detection of the detector is matched with the nearest one of its class that the graph gives
    and that is not matched yet. What is left over differs, unless equal scores explain it. NaN
    never equals anything.

    Args:
        expected (Found): The detections of the detector.
        given (Found): The detections of the graph.
        limits (Limits): The limits of the detector.

    Returns:
        Comparison: How they differ.
    """
    found = Comparison(len(expected.scores), len(given.scores))
    for name, side in (('the detector', expected), ('the graph', given)):
        if not (np.isfinite(side.boxes).all() and np.isfinite(side.scores).all()):
            found.wrong.append(f'{name} gives NaN or infinity')
    if found.wrong:
        return found
    pairs = _match(expected, given)
    found.matched = len(pairs)
    for i, j in pairs:
        found.box = max(found.box, float(np.abs(expected.boxes[i] - given.boxes[j]).max()))
        found.score = max(found.score, float(abs(expected.scores[i] - given.scores[j])))
    left = sorted(set(range(found.expected)) - {i for i, _ in pairs})
    right = sorted(set(range(found.given)) - {j for _, j in pairs})
    for side, alone, others, name in (
        (expected, left, given.scores[right], 'not by the graph'),
        (given, right, expected.scores[left], 'only by it'),
    ):
        for i in alone:
            if _is_tie(i, side, others, expected, limits):
                found.ties += 1
            else:
                found.wrong.append(
                    f'a box of class {side.labels[i]} with score {side.scores[i]:.4f} is found '
                    f'{name}'
                )
    if found.ties > found.matched and not found.wrong:
        found.wrong.append(f'{found.ties} of {found.expected} scores are equal, too many to tell')
    _compare_masks(expected, given, pairs, found)
    return found


def _match(expected: Found, given: Found) -> list[tuple[int, int]]:
    """Pair detections of one class whose boxes and scores agree, the nearest first."""
    if not len(expected.scores) or not len(given.scores):
        return []
    boxes = np.abs(expected.boxes[:, None] - given.boxes[None]).max(2)
    scores = np.abs(expected.scores[:, None] - given.scores[None])
    same = expected.labels[:, None] == given.labels[None]
    tolerance = BOX_TOLERANCE + 1e-4 * np.abs(expected.boxes).max(1)[:, None]
    fits = same & (boxes <= tolerance) & (scores <= SCORE_TOLERANCE)
    distance = boxes / tolerance + scores / SCORE_TOLERANCE
    pairs: list[tuple[int, int]] = []
    rows, columns = np.nonzero(fits)
    taken: tuple[set, set] = (set(), set())
    for k in np.argsort(distance[rows, columns], kind='stable'):
        i, j = int(rows[k]), int(columns[k])
        if i not in taken[0] and j not in taken[1]:
            pairs.append((i, j))
            taken[0].add(i)
            taken[1].add(j)
    return pairs


def _is_tie(index: int, side: Found, others: np.ndarray, expected: Found, limits: Limits) -> bool:
    """Whether a detection's score equals another one's, the threshold, or the last one's.

    ``others`` are the scores that the other side alone has: a tie changes which box is kept, so one
    of them must be equal too.
    """
    score = side.scores[index]
    equal = np.abs(expected.scores - score) <= TIE
    if side is expected:
        equal[index] = False
    is_other_kept = equal.any() and (np.abs(others - score) <= TIE).any()
    is_full = len(expected.scores) == limits.most > 1
    at_the_end = is_full and abs(expected.scores.min() - score) <= TIE
    return bool(is_other_kept or at_the_end or abs(score - limits.score_thr) <= TIE)


def _compare_masks(
    expected: Found, given: Found, pairs: list[tuple[int, int]], found: Comparison
) -> None:
    """Compare the masks of pairs, pixel by pixel."""
    if (expected.masks is None) != (given.masks is None):
        found.wrong.append('only one side gives masks')
    if expected.masks is None or given.masks is None:
        return
    for i, j in pairs:
        different = int((expected.masks[i] != given.masks[j]).sum())
        width, height = np.maximum(expected.boxes[i, 2:] - expected.boxes[i, :2], 1)
        share = float(different / (width * height))
        if different > 2:  # pixels at the edge of a small mask
            found.mask = max(found.mask, share)
    if found.mask > MASK_TOLERANCE:
        found.wrong.append(f'{100 * found.mask:.1f} % of the pixels of a box differ in its mask')
