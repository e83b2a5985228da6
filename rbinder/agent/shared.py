"""The shared memory that agents write their records into: made here, sealed, and filled in with what was configured."""

from __future__ import annotations

import fcntl
import os

from rbinder.agent import contract
from rbinder.binder.sampling import create as create_sampler
from rbinder.config import Config

_PROPAGATORS = {
    "tracecontext": contract.W3C,
    "baggage": contract.BAGGAGE,
    "b3": contract.B3_SINGLE,
    "b3multi": contract.B3_MULTI,
}


class Shared:
    """A memory file without a name. `token` tells whose it is. Raises OSError."""

    def __init__(self, config: Config) -> None:
        self.token = os.urandom(16)
        settings = settings_of(config, self.token)
        self.descriptor = os.memfd_create("rbinder", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.fchmod(self.descriptor, 0o600)  # by /proc/PID/fd it is opened as any file
        os.ftruncate(self.descriptor, settings.size)
        # who shortened it would kill every program that has it mapped (SIGBUS)
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, seals)
        os.pwrite(self.descriptor, contract.initial(settings), 0)

    def detach(self) -> None:
        """Nobody takes records any more."""
        os.pwrite(self.descriptor, (1).to_bytes(4, "little"), contract.DETACHED)


def settings_of(config: Config, token: bytes) -> contract.Settings:
    """What the agents need to know of the configuration."""
    sampler = create_sampler(config.sampler, config.sampler_argument)
    propagators = sum({_PROPAGATORS.get(name, 0) for name in config.propagators})
    return contract.Settings(
        token,
        propagators,
        sampler.bound,
        sampler.parent_based,
        config.verbosity,
        pid_namespace=_pid_namespace(),
        runtime_hooks=config.runtime_hooks,
    )


def _pid_namespace() -> int:
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0
