/* memory.c under other names: the C library's own, and a sanitizer's, stay in use around it. */
#undef RBINDER_HOSTED
#define memcpy agent_memcpy
#define memmove agent_memmove
#define memset agent_memset
#define memcmp agent_memcmp
#define find_byte agent_find_byte
#define equal_ignoring_case agent_equal_ignoring_case
#define trimmed agent_trimmed
#define hash_bytes agent_hash_bytes

#include "../../rbinder/agent/src/memory.c"
