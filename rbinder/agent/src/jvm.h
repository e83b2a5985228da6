/* The adapter for Java: tasks travel with what Java's executors, futures and event loops hand over (agent/jvm). */
#ifndef RBINDER_JVM_H
#define RBINDER_JVM_H

#include "base.h"

/* This process is about to serve. If there is a Java virtual machine in it, ours is loaded into it, once. */
void jvm_serves(void);

#endif
