"""Small files in the exact formats of CIFAR and ImageNet, with random pixels."""

import pickle
from pathlib import Path

import numpy as np
from PIL import Image

WORDNET_IDS = ('n01440764', 'n01443537', 'n01484850')


def write_cifar10(root: Path, images: int = 2) -> np.ndarray:
    """Write the batches of CIFAR-10.

    Args:
        root (Path): The data root.
        images (int): The images of a batch. Defaults to 2.

    Returns:
        np.ndarray: The pixels of the training images, `(N, 32, 32, 3)`.
    """
    folder = root / 'cifar-10-batches-py'
    folder.mkdir(parents=True)
    pixels = []
    for number in range(1, 7):
        name = f'data_batch_{number}' if number < 6 else 'test_batch'
        rows = _rows(images, number)
        batch = dict(
            batch_label=f'training batch {number} of 5',
            labels=[(number + i) % 10 for i in range(images)],
            data=rows,
            filenames=[f'image_s_{i:06}.png' for i in range(images)],
        )
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
        pixels.append(_pixels(rows))
    names = [
        *('airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck')
    ]
    meta = dict(num_cases_per_batch=images, label_names=names, num_vis=3072)
    (folder / 'batches.meta').write_bytes(pickle.dumps(meta, protocol=2))
    return np.concatenate(pixels[:-1])


def write_cifar100(root: Path, images: int = 10) -> np.ndarray:
    """Write the files of CIFAR-100.

    Args:
        root (Path): The data root.
        images (int): The images of each file. Defaults to 10.

    Returns:
        np.ndarray: The pixels of the training images, `(N, 32, 32, 3)`.
    """
    folder = root / 'cifar-100-python'
    folder.mkdir(parents=True)
    for number, name in enumerate(('train', 'test')):
        rows = _rows(images, number)
        content = dict(
            filenames=[f'image_s_{i:06}.png' for i in range(images)],
            batch_label=f'{name}ing batch 1 of 1',
            fine_labels=[(11 * i) % 100 for i in range(images)],
            coarse_labels=[i % 20 for i in range(images)],
            data=rows,
        )
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    meta = dict(
        fine_label_names=[f'fine {i}' for i in range(100)],
        coarse_label_names=[f'coarse {i}' for i in range(20)],
    )
    (folder / 'meta').write_bytes(pickle.dumps(meta, protocol=2))
    return _pixels(_rows(images, 0))


def write_imagenet(root: Path, images: int = 2) -> None:
    """Write ImageNet's folders of three classes, with images of different sizes.

    Args:
        root (Path): The data root.
        images (int): The images of a class in each split. Defaults to 2.
    """
    random = np.random.default_rng(0)
    for split in ('train', 'val'):
        for name in WORDNET_IDS:
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(images):
                picture = random.integers(0, 256, (40 + 10 * i, 60, 3), dtype=np.uint8)
                Image.fromarray(picture).save(folder / f'{name}_{i}.JPEG', 'JPEG')


def _rows(images: int, seed: int) -> np.ndarray:
    """Images as CIFAR has them: all red pixels of an image, then the green ones and the blue."""
    return np.random.default_rng(seed).integers(0, 256, (images, 3 * 32 * 32), dtype=np.uint8)


def _pixels(rows: np.ndarray) -> np.ndarray:
    return rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
