"""Classes of COCO data sets that have the names which they are given.

The problem: mmdet 3.3 numbers the labels of a ``CocoDataset`` in the order of the annotation file,
and names them in the order of ``metainfo``. If the two orders differ, or the file lacks a class, a
cat is trained and shown as a dog without a word.

The answer: such a data set is an error that tells the order of the file.

It can go when mmdet numbers labels in the order of ``metainfo``.
"""

from collections.abc import Sequence

from mmdet.datasets import CocoDataset

from nst_det.errors import UserError


class CocoOfTheseClasses(CocoDataset.COCOAPI):
    """An annotation file whose categories are asked for by name in their own order.

    Args:
        annotation_file (str, optional): The file. Defaults to None.
    """

    def get_cat_ids(
        self, cat_names: Sequence[str] = (), sup_names: Sequence = (), cat_ids: Sequence = ()
    ) -> list[int]:
        """Find categories.

        Args:
            cat_names (Sequence[str]): The names of the classes. Defaults to all.
            sup_names (Sequence[str]): The names of their super-categories. Defaults to all.
            cat_ids (Sequence[int]): Their ids. Defaults to all.

        Returns:
            list[int]: Their ids in the file, in its order.

        Raises:
            UserError: If classes were named and the file has them in another order, or not all.
        """
        found = super().get_cat_ids(cat_names, sup_names, cat_ids)
        names = [self.cats[category]['name'] for category in found]
        if cat_names and names != list(cat_names):
            missing = [name for name in cat_names if name not in names]
            fault = (
                f'the annotation file has no category {missing[0]!r}'
                if missing
                else 'the annotation file has another order, which mmdet numbers labels by'
            )
            raise UserError(
                f'metainfo.classes is {_shown(cat_names)}, and {fault}: write '
                f'metainfo=dict(classes={_shown(names)}) in every data set',
                'metainfo.classes',
            )
        return found


def _shown(names: Sequence[str], most: int = 20) -> str:
    """A tuple of names as a config has it, shortened if it is long."""
    shown = ', '.join(map(repr, names[:most]))
    if len(names) > most:
        return f'({shown}, … {len(names) - most} more)'
    return f'({shown},)' if len(names) == 1 else f'({shown})'


def apply() -> None:
    """Let data sets of COCO read their files this way."""
    if not issubclass(CocoDataset.COCOAPI, CocoOfTheseClasses):
        CocoDataset.COCOAPI = CocoOfTheseClasses
