"""Processes that train one model together: who they are, what they tell each other, and what of a batch is whose.

    torch.distributed.init_process_group()     # in each process, as torchrun starts them
    detector.fit(X)                            # together

Without such a group everything here is one process, and does nothing.
"""

from .batches import random_of, shared, whole
from .world import SINGLE, Signs, World, current, joined

__all__ = ["SINGLE", "Signs", "World", "current", "joined", "random_of", "shared", "whole"]
