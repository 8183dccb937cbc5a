"""Libraries that ranks are measured with, each behind the same few calls; and how ranks start.

A module here is imported by ranks of its own library only: the others need not be installed.
"""
