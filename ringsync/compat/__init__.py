"""Packages under other libraries' names, for scripts that cannot change.

`ringsyncrun --horovod` puts this folder before all others on the ranks' path. Whatever lies in it
can then be imported by its bare name, so nothing but such packages does.
"""
