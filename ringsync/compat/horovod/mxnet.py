"""Stands where Horovod binds MXNet; importing it is an error that says what there is."""

from .absent import refuse

refuse("horovod.mxnet", "ringsync.allreduce and its kin take NumPy arrays.")
