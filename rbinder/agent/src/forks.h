/* Forks, and children that run in this memory. */
#ifndef RBINDER_FORKS_H
#define RBINDER_FORKS_H

#include "base.h"

/* Around any call that makes a process; `flags` as clone(2) has them. The child calls fork_after with result 0. */
void fork_before(u64 flags);
void fork_after(u64 flags, long result);

#endif
