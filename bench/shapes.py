"""Sizes of the gradients of well-known models, as a backward pass hands them out: last layer first.

Only data; no model is built.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

Shape = tuple[int, ...]


def resnet50() -> tuple[int, ...]:
    """Count the elements of ResNet-50's gradients.

    Returns:
        161 counts, 25,557,032 in all: 102 MB of float32.

    Source: He et al., CVPR 2016, doi:10.1109/CVPR.2016.90, table 1; parameters as in torchvision's
        resnet50: convolutions without bias, each followed by a normalisation's weight and bias.
    """
    return _last_first(_resnet50())


def bert_base() -> tuple[int, ...]:
    """Count the elements of BERT-base's gradients.

    Returns:
        199 counts, 109,482,240 in all: 438 MB of float32.

    Source: Devlin et al., NAACL 2019, doi:10.18653/v1/N19-1423, section 3 (12 layers, hidden size
        768); parameters as in Hugging Face's BertModel for bert-base-uncased (30,522 words).
    """
    return _last_first(_bert_base())


def bert_large() -> tuple[int, ...]:
    """Count the elements of BERT-large's gradients.

    Returns:
        391 counts, 335,141,888 in all: 1.34 GB of float32.

    Source: As `bert_base`, for bert-large-uncased (24 layers, hidden size 1024).
    """
    return _last_first(_bert(hidden=1024, layers=24))


def small() -> tuple[int, ...]:
    """Count the elements of many small tensors, where the cost of a call is everything.

    Returns:
        1000 counts of 1 KiB.

    Source: ours; biases and normalisations of large models have such sizes.
    """
    return _last_first(_small())


SHAPES = {"resnet50": resnet50, "bert": bert_base, "small": small}


def model_shapes(name: str) -> tuple[Shape, ...]:
    """List a model's parameters with their dimensions, in the order in which forward uses them.

    Args:
        name: Of `SHAPES`.

    Returns:
        A shape each; their numbers of elements, reversed, are those of `SHAPES[name]()`.
    """
    return tuple(_PARAMETERS[name]())


def _last_first(shapes: Iterator[Shape]) -> tuple[int, ...]:
    return tuple(prod(shape) for shape in shapes)[::-1]


def _resnet50() -> Iterator[Shape]:
    yield from _normalised((64, 3, 7, 7))
    inputs = 64
    for width, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(blocks):
            yield from _normalised((width, inputs, 1, 1))
            yield from _normalised((width, width, 3, 3))
            yield from _normalised((4 * width, width, 1, 1))
            if block == 0:
                yield from _normalised((4 * width, inputs, 1, 1))
            inputs = 4 * width
    yield from ((1000, inputs), (1000,))


def _normalised(kernel: Shape) -> Iterator[Shape]:
    """A convolution, and the weight and bias of the normalisation after it."""
    yield from (kernel, (kernel[0],), (kernel[0],))


def _bert_base() -> Iterator[Shape]:
    yield from _bert(hidden=768, layers=12)


def _bert(hidden: int, layers: int) -> Iterator[Shape]:
    inner, words, positions = 4 * hidden, 30522, 512
    yield from ((words, hidden), (positions, hidden), (2, hidden), (hidden,), (hidden,))
    for _ in range(layers):
        for _ in ("query", "key", "value", "output"):
            yield from _linear(hidden, hidden)
        yield from ((hidden,), (hidden,))
        yield from _linear(hidden, inner)
        yield from _linear(inner, hidden)
        yield from ((hidden,), (hidden,))
    yield from _linear(hidden, hidden)


def _linear(inputs: int, outputs: int) -> Iterator[Shape]:
    yield from ((outputs, inputs), (outputs,))


def _small() -> Iterator[Shape]:
    yield from ((256,),) * 1000


_PARAMETERS = {"resnet50": _resnet50, "bert": _bert_base, "small": _small}
