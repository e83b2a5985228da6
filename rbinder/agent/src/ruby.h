/* The adapter for Ruby, as its hooks see it. */
#ifndef RBINDER_RUBY_H
#define RBINDER_RUBY_H

/* The program begins to listen, has accepted, loads a library. */
void ruby_listens(void);
void ruby_loads(const char *path);

#endif
