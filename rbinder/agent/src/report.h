/* What is told of a dialogue, as records in the ring (reports.py, and the engine's announcements). */
#ifndef RBINDER_REPORT_H
#define RBINDER_REPORT_H

#include "dialogue.h"

/* Whose records these are and where they go: filled in by agent.c at the start and in a forked child (`shared`, `pid`), and
 * by whoever takes the process's lock (`tid`). `shared` NULL: nothing is told. */
struct reporter {
    struct shared *shared;
    u32 pid, tid;
};
extern struct reporter reporter;

/* A record of this process, as ring_put. `exchange` NULL: none. */
bool report_put(u32 kind, u64 now, u64 connection, const u8 *exchange, const struct iovec *pieces, u32 count);

/* report.c; each is called with the process's lock held, and with turn_recorded(turn). */
void report_request(const struct dialogue *dialogue, const struct turn *turn, const struct head *head, u64 now);
void report_response(const struct dialogue *dialogue, const struct turn *turn, const struct head *head, u64 now);
void report_end(const struct dialogue *dialogue, const struct turn *turn, bool is_response, u64 body_size, u64 now);
void report_failure(const struct dialogue *dialogue, const struct turn *turn, struct bytes error_type, u64 now);

/* Before the first REQUEST_HEAD of a connection: report.c calls it, sockets.c (tests: a stub) tells the PROCESS and the
 * CONNECTION through ring_put, once each. */
void announce(const struct dialogue *dialogue, u64 now);

#endif
