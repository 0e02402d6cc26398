"""The values of the NST paper that are shown beside ours."""

import csv
from importlib.resources import files

from nst_det.errors import UserError, nearest
from nst_det.experiments.protocol import VOC, Protocol

PAPER = 'arXiv 1707.01219'
PAPER_LINE = 'the paper'  # the name of its lines, so that nobody takes them for ours

# The column of the paper's errors for each type of a data set, ours and mmpretrain's.
ERRORS_ON = {
    'CIFAR10Dataset': 'CIFAR-10',
    'CIFAR10': 'CIFAR-10',
    'CIFAR100Dataset': 'CIFAR-100',
    'CIFAR100': 'CIFAR-100',
    'ImageNetDataset': 'ImageNet',
    'ImageNet': 'ImageNet',
}


def paper_rows(test: Protocol) -> dict[str, dict[str, float]]:
    """Read the values of the paper for a test: table 4 for VOC, else the errors of classifiers.

    Args:
        test (Protocol): The test of the table that the values are shown in.

    Returns:
        dict[str, dict[str, float]]: By method, the value of each metric and class by its name, in
        percent: ``'mAP'`` and the AP of each class, or ``'top-1 error'``.

    Raises:
        UserError: If the paper has no values for this test, or a class is not one of VOC.
    """
    if test.metric == VOC and test.protocol == '11 points':
        return _average_precisions(test.classes)
    if test.metric == 'ClassificationError' and test.dataset in ERRORS_ON:
        column = ERRORS_ON[test.dataset]
        lines = _read('classification_errors.csv')
        return {
            line['method']: {'top-1 error': float(line[column])} for line in lines if line[column]
        }
    measured = f'{test.metric} {test.protocol}'.strip()
    raise UserError(
        'the paper reports VOC AP by 11 points, and ClassificationError on CIFAR-10, CIFAR-100 and '
        f'ImageNet; these rows are tested by {measured} on {test.dataset}: leave out --paper'
    )


def _average_precisions(classes: tuple[str, ...]) -> dict[str, dict[str, float]]:
    table = _read('voc07_table4.csv')
    own = list(table[0])[2:]
    for name in classes:
        if name not in own:
            raise UserError(
                f"the paper has the 20 classes of VOC, and '{name}' is none of them: "
                f'{nearest(name, own)}; leave out --paper'
            )
    return {line['method']: {key: float(line[key]) for key in ('mAP', *classes)} for line in table}


def _read(name: str) -> list[dict[str, str]]:
    text = files('nst_det.experiments').joinpath(name).read_text()
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith('#')))
