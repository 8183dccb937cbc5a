"""A small convolutional network for pictures.

Not a zoo: sizes are arguments, weights are drawn, nothing is downloaded.
"""

from __future__ import annotations

from ringsync.nn import Conv2d, Flatten, Linear, ReLU, Sequential


def lenet(in_channels: int = 1, image: int = 8, classes: int = 10, seed: int = 0) -> Sequential:
    """Two convolutions of 5 x 5 that keep the size, then 120, 84 and `classes` outputs.

    Args:
        in_channels: Channels of a picture.
        image: Height and width of a picture.
        classes: Number of outputs (logits).
        seed: Of the starting values; equal seeds, equal networks.

    Returns:
        A network from (n, in_channels, image, image) to (n, classes).

    Source: after LeCun, Bottou, Bengio & Haffner, Proc. IEEE 86(11):2278-2324, 1998,
        doi:10.1109/5.726791; without pooling, and with ReLU.

    Example:
        >>> net = lenet(image=28)        # 1,518,986 parameters
    """
    return Sequential(
        Conv2d(in_channels, 6, 5, pad=2),
        ReLU(),
        Conv2d(6, 16, 5, pad=2),
        ReLU(),
        Flatten(),
        Linear(16 * image * image, 120),
        ReLU(),
        Linear(120, 84),
        ReLU(),
        Linear(84, classes),
    ).initialize(seed)
