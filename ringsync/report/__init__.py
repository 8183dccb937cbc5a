"""Reads the timeline files that ranks leave behind and says what they show.

It works on files after the run: nothing here is imported by a training process.
"""
