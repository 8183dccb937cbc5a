"""What was built and what this machine has, and why something is missing.

It looks without importing what it looks for, and changes nothing.
"""
