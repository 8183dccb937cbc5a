"""Element types that travel, and the native core's numbers for them."""

from __future__ import annotations

from typing import Final

SUPPORTED_DTYPES = (
    "float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool",
)  # fmt: skip

# The number of the dtype that NumPy does not know.
BFLOAT16: Final = 9

# By what the protocols of arrays call them; bfloat16 is a type of two bytes that they do not know.
NUMBERS: Final = {
    "|u1": 0, "<i4": 1, "<i8": 2, "<f4": 3, "<f8": 4, "|i1": 5, "<i2": 6, "<f2": 7, "|b1": 8,
    "<V2": BFLOAT16,
}  # fmt: skip
