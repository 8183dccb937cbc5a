"""The launcher `ringsyncrun`: starts the ranks of a job on this host, watches over them, ends them.

It is not the run-time library: nothing here is imported by a rank, and no rank talks to it. Nobody
else imports it either; `ringsync.run` starts it as a process.
"""
