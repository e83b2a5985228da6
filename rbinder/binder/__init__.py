"""The binder: which incoming request caused this outgoing one. This package does no I/O."""
