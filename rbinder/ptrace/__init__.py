"""The ptrace engine: watches and changes a program's system calls from outside it."""
