"""Horovod's batch normalization over all ranks."""

from ringsync.torch.sync_batch_norm import SyncBatchNorm
