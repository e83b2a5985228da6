"""Seccomp-BPF: one subscription list becomes the filter that decides which calls stop."""
