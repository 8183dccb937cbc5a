"""Device plug-ins, driven through their C ABI alone: what tests and benchmarks of a GPU share.

Imports nothing of ringsync, so it runs where only a plug-in was built.
"""
