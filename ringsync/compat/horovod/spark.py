"""Stands where Horovod runs on Spark; importing it is an error that says what there is."""

from .absent import refuse

refuse("horovod.spark", "horovod.run (ringsync.run) starts a function on the ranks of this host.")
