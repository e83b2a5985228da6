"""Keeps one CPU awake, and takes of it only what nobody else wants (SCHED_IDLE, sched(7)). Usage: awake.py CPU.

A CPU that sleeps is woken by an interrupt from another one: in a virtual machine that takes tens of microseconds of the
one that sends it, as long as a request. How many there are depends on who is how fast, and amplifies each difference.
"""

import os
import sys

os.sched_setaffinity(0, {int(sys.argv[1])})
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
while True:
    pass
