"""Layers, losses and metrics.

Not differentiation (autograd), updates (optim) or data; nothing of ranks.
"""

from ringsync.autograd import flatten, relu
from ringsync.nn.activation import Flatten, ReLU
from ringsync.nn.container import Sequential
from ringsync.nn.conv import Conv2d, conv2d
from ringsync.nn.linear import Linear, linear
from ringsync.nn.loss import cross_entropy
from ringsync.nn.metric import Accuracy, MeanLoss, Metric
from ringsync.nn.module import Module
from ringsync.nn.pool import MaxPool2d, max_pool2d

__all__ = [
    "Accuracy",
    "Conv2d",
    "Flatten",
    "Linear",
    "MaxPool2d",
    "MeanLoss",
    "Metric",
    "Module",
    "ReLU",
    "Sequential",
    "conv2d",
    "cross_entropy",
    "flatten",
    "linear",
    "max_pool2d",
    "relu",
]
