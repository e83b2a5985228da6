"""Runs a command below a seccomp filter that refuses calls with EPERM. Usage: refuse.py CALL[,CALL...] COMMAND..."""

import os
import platform
import sys

from rbinder.bpf.program import Subscription, build
from rbinder.ptrace.native import install_filter
from rbinder.ptrace.subscriptions import numbers

RET_ERRNO_EPERM = 0x00050000 | 1  # SECCOMP_RET_ERRNO, linux/seccomp.h

table = numbers(platform.machine())
refused = [Subscription(name) for name in sys.argv[1].split(",")]
install_filter(build(platform.machine(), table, refused, RET_ERRNO_EPERM), table["seccomp"])
os.execvp(sys.argv[2], sys.argv[2:])
