"""What the machine allows: the fastest known ways to sum an array on two ranks, without Python.

They take part in a contest as libraries do; none of them could be used by a program.
"""
