"""Draw docs/toy_patterns.svg: which patterns each kernel of NST can tell apart, on 2 × 2 positions.

.venv/bin/python docs/_figures/toy_patterns.py
"""

from pathlib import Path

import matplotlib
import torch
from matplotlib import pyplot as plt

from nst_det.models.losses import GaussianKernel, LinearKernel, PolynomialKernel, nst_mmd2

TOP, BOTTOM = [[1.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [1.0, 1.0]]
LEFT, RIGHT = [[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]
TEACHER = [TOP, BOTTOM]
STUDENTS = {
    'student A, four channels:\nthe same set': [BOTTOM, TOP, TOP, BOTTOM],
    'student B, two channels:\nother places': [LEFT, RIGHT],
}
KERNELS = {'linear': LinearKernel(), 'polynomial': PolynomialKernel(), 'Gaussian': GaussianKernel()}
OUT = Path(__file__).resolve().parents[1] / 'toy_patterns.svg'


def main() -> None:
    matplotlib.use('Agg')
    plt.rcParams.update({'svg.hashsalt': 'nst_det', 'font.size': 9})
    figure = plt.figure(figsize=(7.2, 2.3), facecolor='white')
    rows = figure.subfigures(1, 3, width_ratios=(2, 3.4, 2))
    draw(rows[0], 'the teacher,\ntwo channels', TEACHER, 'Blues', '')
    for part, (title, maps) in zip(rows[1:], STUDENTS.items()):
        distances = '\n'.join(
            f'MMD², {name}: {mmd2(maps, kernel):.2f}' for name, kernel in KERNELS.items()
        )
        draw(part, title, maps, 'Oranges', distances)
    figure.savefig(OUT, metadata={'Date': None})


def mmd2(student: list, kernel) -> float:
    """MMD² between a toy student and the teacher; the strength of a channel does not matter."""
    features = 3 * torch.tensor(student)[None]
    return max(0.0, nst_mmd2(features, torch.tensor(TEACHER)[None], kernel).item())


def draw(part, title: str, maps: list, colours: str, below: str) -> None:
    panels = part.subplots(1, len(maps), squeeze=False)[0]
    part.subplots_adjust(top=0.8, bottom=0.3)
    for axes, values in zip(panels, maps):
        axes.imshow(values, cmap=colours, vmin=-0.2, vmax=1.3)
        axes.set(xticks=[0.5], yticks=[0.5], xticklabels=[], yticklabels=[])
        axes.grid(color='white', linewidth=2)
        axes.tick_params(length=0)
    part.suptitle(title, fontsize=10, y=0.99)
    part.text(0.5, 0.04, below, ha='center', va='bottom')


if __name__ == '__main__':
    main()
