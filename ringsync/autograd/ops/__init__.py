"""The table of operations, gathered from the families; a new rule in a family joins by itself.

Not for tensors: whoever calls a rule here holds raw arrays; `autograd.apply` is the door for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ringsync.autograd.ops import conv, elementwise, index, linalg, pool, reduce, shape
from ringsync.autograd.primitive import Primitive

__all__ = ["PRIMITIVES"]

PRIMITIVES: Mapping[str, Primitive] = MappingProxyType(
    {
        rule.name: rule
        for family in (elementwise, reduce, shape, linalg, index, conv, pool)
        for rule in vars(family).values()
        if isinstance(rule, Primitive)
    }
)
