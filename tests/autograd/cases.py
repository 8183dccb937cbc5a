"""Inputs for every rule of the table, for whoever makes a claim of all of them."""

import numpy as np

LABELS = np.array([2, 0, 1])
# For each rule: the shapes of its floating inputs (or integer inputs as they are), and options.
CASES = {
    "add": [((3, 4), (3, 4)), ((3, 1), (4,))],
    "sub": [((3, 4), (3, 4)), ((2, 3), ())],
    "mul": [((3, 4), (3, 4)), ((1, 4), (3, 1))],
    "div": [((3, 4), (3, 4)), ((), (2, 2))],
    "neg": [((3, 4),)],
    "pow": [((3, 4), {"exponent": 3}), ((3,), {"exponent": -0.5})],
    "exp": [((3, 4),)],
    "log": [((3, 4),)],
    "tanh": [((3, 4),)],
    "relu": [((3, 4),)],
    "maximum": [((3, 4), (3, 4)), ((3, 4), (4,))],
    "sum": [
        ((3, 4),),
        ((3, 4), {"axis": 0}),
        ((2, 3, 4), {"axis": (0, -1)}),
        ((3, 4), {"axis": 1, "keepdims": True}),
    ],
    "mean": [((3, 4),), ((2, 3, 4), {"axis": (-1, 1)}), ((3, 4), {"axis": -1, "keepdims": True})],
    "max": [((3, 4),), ((3, 4), {"axis": 0}), ((2, 3, 4), {"axis": (0, 2), "keepdims": True})],
    "reshape": [((3, 4), {"shape": (2, -1)})],
    "transpose": [((3, 4),), ((2, 3, 4), {"axes": (1, -1, 0)})],
    "flatten": [((2, 3, 4),)],
    "matmul": [
        ((2, 3), (3, 4)),
        ((3,), (3, 4)),
        ((2, 3), (3,)),
        ((3,), (3,)),
        ((2, 1, 2, 3), (4, 3, 2)),
        ((3,), (2, 3, 4)),
        ((2, 2, 3), (3,)),
    ],
    "linear": [((2, 3), (4, 3), (4,)), ((2, 2, 3), (4, 3)), ((3,), (4, 3), (4,))],
    "getitem": [
        ((3, 4), {"index": 1}),
        ((3, 4), {"index": (slice(None), slice(None, None, -2))}),
        ((3, 4), {"index": np.array([0, 2, 0])}),
        ((3, 4), {"index": (Ellipsis, None, [1, 1])}),
    ],
    "take": [
        ((4, 3), np.array([[0, 3], [0, 1]])),
        ((2, 4, 3), np.array([1, 1, 0]), {"axis": 1}),
        ((2, 3), np.array([[2, 0], [2, 1]]), {"axis": -1}),
    ],
    "log_softmax": [((3, 4),), ((3, 4), {"axis": 0})],
    "cross_entropy": [((3, 4), LABELS)],
    "conv2d": [
        ((2, 2, 5, 4), (3, 2, 3, 2), (3,)),
        ((2, 8, 5, 5), (2, 8, 3, 3), (2,), {"pad": 1}),
        ((2, 2, 7, 6), (2, 2, 3, 3), {"stride": 2, "pad": 1}),
        ((1, 1, 3, 3), (2, 1, 2, 2), {"stride": 3, "pad": 2}),
        ((1, 2, 3, 3), (1, 2, 1, 1), {"pad": 2}),
    ],
    "max_pool2d": [
        ((2, 2, 4, 4), {"kernel": 2, "stride": 2}),
        ((1, 2, 5, 6), {"kernel": 3, "stride": 2, "pad": 1}),
        ((1, 1, 4, 4), {"kernel": 3, "stride": 1}),
    ],
}
EVERY_CASE = [(name, case) for name, cases in CASES.items() for case in cases]


def split_case(case, dtype=np.float64):
    """Inputs and options; values are positive, distinct and away from every kink."""
    options = case[-1] if isinstance(case[-1], dict) else {}
    inputs = []
    for number, one in enumerate(case[: len(case) - bool(options)]):
        if isinstance(one, np.ndarray):
            inputs.append(one)
            continue
        size = int(np.prod(one))
        draw = np.random.default_rng(number).permutation(size) / size
        inputs.append((0.3 + 0.37 * number + 2 * draw).reshape(one).astype(dtype))
    return inputs, options
