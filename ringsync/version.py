"""The version of ringsync; whatever else states one, the package's metadata too, reads it here.

Ranks compare it when they meet, and looking into the metadata of installed packages would take
longer than all else that they do then.
"""

__version__ = "0.1.0"
