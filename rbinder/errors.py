"""Every error rbinder raises on purpose; only `cli.main` turns one into an exit status and a sentence."""


class RbinderError(Exception):
    """Base of the tree. Its text is one sentence that tells the user what to do; `status` is the exit status."""

    status = 125  # as env(1), timeout(1) and docker-run(1) report a failure of their own


class UsageError(RbinderError):
    """The command line or the environment asks for something that doesn't exist."""

    status = 2


class CommandNotFound(RbinderError):
    """The command doesn't exist (POSIX: 127)."""

    status = 127


class CommandNotExecutable(RbinderError):
    """The command exists and can't be executed (POSIX: 126)."""

    status = 126


class EngineUnavailable(RbinderError):
    """No engine can trace here; the text gives the reason and the remedy."""
