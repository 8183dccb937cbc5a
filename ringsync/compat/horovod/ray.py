"""Stands where Horovod runs on Ray; importing it is an error that says what there is."""

from .absent import refuse

refuse("horovod.ray", "horovod.run (ringsync.run) starts a function on the ranks of this host.")
