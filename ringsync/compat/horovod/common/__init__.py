"""Horovod's folder of that name; what stands in it are its modules."""
