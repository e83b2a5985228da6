# Runs a command in each of Python's ways. Usage: python exec_runs.py COMMAND

import os
import subprocess
import sys

words = sys.argv[1].split()
for how in ({}, {"env": {}}, {"close_fds": False}, {"preexec_fn": os.getpid}, {"start_new_session": True}):
    print(subprocess.run(words, capture_output=True, text=True, check=False, **how))
print(os.system(sys.argv[1]), os.popen(sys.argv[1]).read())
print(os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn(words[0], words, {"ONLY": "this"}), 0)[1]))
print(os.spawnve(os.P_WAIT, words[0], words, {}))
if (child := os.fork()) == 0:
    os.execvpe(words[0], words, {"ONLY": "this"})
print(os.waitpid(child, 0)[1], [name for name in os.environ if "RBINDER" in name or "PRELOAD" in name])
with open("/proc/self/environ", "rb") as block:
    print(sorted(filter(None, block.read().split(b"\0"))))
