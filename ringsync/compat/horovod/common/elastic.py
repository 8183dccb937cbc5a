"""Horovod's elastic state, whatever library the state is of."""

from ringsync.torch.elastic import HostUpdateResult, ObjectState, State
