"""A sampler that knows which part of an epoch is done, and deals out the rest."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sized

import torch

from ringsync.torch.basics import rank, size


class ElasticSampler(torch.utils.data.Sampler[int]):
    """Deals the samples of a dataset out to the ranks, those left of the epoch when ranks change.

    Make it a part of the `TorchState`, call `record_batch` after each batch, and `set_epoch` at the
    end of each epoch: at its beginning a run that was interrupted would do samples twice.
    """

    def __init__(self, dataset: Sized, shuffle: bool = True, seed: int = 0) -> None:
        """Deal out the first epoch.

        Args:
            dataset: What is sampled; its length stays as it is.
            shuffle: In random order, another one in each epoch.
            seed: Of that order; the same on all ranks.
        """
        self.dataset = dataset
        self.shuffle = shuffle
        self.seed = seed
        self.epoch = 0
        self.processed_num = 0
        self.reset()

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch.

        Args:
            epoch: Its number.
        """
        self.epoch = epoch
        self.processed_num = 0
        self.reset()

    def record_batch(self, batch_idx: int, batch_size: int) -> None:  # noqa: ARG002  Horovod's form
        """Note that every rank has done a batch; iterators in use are not affected.

        Args:
            batch_idx: Number of the batch, which does not matter.
            batch_size: Samples of it on each rank.
        """
        self.processed_num += batch_size * self.num_replicas

    def state_dict(self) -> dict[str, int]:
        """Return how far it is.

        Returns:
            `epoch`, and `processed_num`: the samples that all ranks together have done of it.
        """
        return {"epoch": self.epoch, "processed_num": self.processed_num}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Go to where another was, and deal out what is left.

        Args:
            state_dict: Of `state_dict`.
        """
        self.epoch = state_dict["epoch"]
        self.processed_num = state_dict["processed_num"]
        self.reset()

    def reset(self) -> None:
        """Deal out what is left of the epoch among the present ranks."""
        self.num_replicas = size()
        self.rank = rank()
        indices = list(range(len(self.dataset)))
        if self.shuffle:
            random.Random(self.seed + self.epoch).shuffle(indices)
        self.remaining_indices = indices[self.processed_num :]
        self.num_samples = math.ceil(len(self.remaining_indices) / self.num_replicas)
        self.total_size = self.num_samples * self.num_replicas

    def __iter__(self) -> Iterator[int]:
        """Iterate over this rank's samples; some come twice where they do not divide evenly.

        Yields:
            Their indices.
        """
        # As many for every rank, however few are left.
        dealt = itertools.islice(itertools.cycle(self.remaining_indices), self.total_size)
        return itertools.islice(dealt, self.rank, None, self.num_replicas)

    def __len__(self) -> int:
        """Return how many samples this rank has.

        Returns:
            Their number, the same on all ranks.
        """
        return self.num_samples
