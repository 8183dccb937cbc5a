"""The launcher `ringsyncrun`: starts the ranks of a job on this host, watches over them, ends them.

It is not the run-time library: no rank talks to it, and of what is here Python ranks import
startup/sitecustomize.py alone. Nobody else imports it either; `ringsync.run` starts it as a
process.
"""
