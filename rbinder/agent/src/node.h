/* Node: the bridge that says for which request each call is made (node.c, ../node.cjs). */
#ifndef RBINDER_NODE_H
#define RBINDER_NODE_H

#include "base.h"

/* Whether this process is Node's, or has Node in it. */
bool node_is_here(void);

/* At the start of a process: if it is Node's, what it takes for NODE_OPTIONS loads the bridge as well. `library` is the
 * agent's own path, beside which the bridge lies. */
void node_start(const char *library);

#endif
