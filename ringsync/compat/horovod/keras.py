"""Stands where Horovod binds Keras; importing it is an error that says what there is."""

from .absent import refuse

refuse("horovod.keras", "ringsync.allreduce and its kin take NumPy arrays.")
