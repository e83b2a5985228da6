/* What is told of a process: the image it runs, remembered at the start, as records.py's ProcessInfo packs it. */
#ifndef RBINDER_PROCESS_H
#define RBINDER_PROCESS_H

#include "base.h"

#define IMAGE_ROOM 16384u /* bytes; longer command lines are cut */

void image_remember(void);
void announce_process(u64 now); /* once in a process */
void reseed(void);              /* agent.c: a forked child has ids of its own */

#endif
