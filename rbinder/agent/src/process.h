/* What is told of a process: the image it runs, remembered at the start, as records.py's ProcessInfo packs it. */
#ifndef RBINDER_PROCESS_H
#define RBINDER_PROCESS_H

#include "base.h"

#define IMAGE_ROOM 16384u /* bytes; longer command lines are cut */

void image_remember(void);
void announce_process(u64 now); /* once in a process */
/* What records call this process: its id; in a PID namespace other than the collector's a number that no process has (and
 * where it can't be found out, if `made_up`). */
u32 process_number(bool made_up);
void reseed(void);              /* agent.c: a forked child has ids of its own */

#endif
