"""Stands where Horovod binds TensorFlow; importing it is an error that says what there is."""

from .absent import refuse

refuse("horovod.tensorflow", "ringsync.allreduce and its kin take NumPy arrays.")
