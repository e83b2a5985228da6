/* Where everything lives that comes and goes: pools in the one mapping. What was given back last is taken first, so that
 * few pages are touched; what was never taken has no page at all.
 */
#include "state.h"

struct pool {
    void *free;     /* each begins with a pointer to the next */
    u8 *begin, *fresh, *end;
    u32 size;
};

static struct pool connections, sendings, places, requests, turns, desks, helds, small_blobs, large_blobs, huge_blobs, groups;

#define BLOB_SIZE(text) (u32)((sizeof(struct blob) + (text) + 15) & ~15u)

static const struct {
    struct pool *pool;
    u32 size, count;
} plan_of_pools[] = {
    {&groups, sizeof(struct group), 2},
    {&places, sizeof(struct place), MOST_THREADS},
    {&connections, sizeof(struct connection), MOST_CONNECTIONS},
    {&turns, sizeof(struct turn), 65536},
    {&requests, sizeof(struct request), 16384},
    {&sendings, sizeof(struct sending), 1024},
    {&small_blobs, BLOB_SIZE(512), 8192},
    {&large_blobs, BLOB_SIZE(BUDGET), 512},
    {&huge_blobs, BLOB_SIZE(STATE_LIMIT), 32},
    {&desks, sizeof(struct desk), 64},
    {&helds, HELD_SIZE, 256},
};

static u64 rounded(u64 size) {
    return (size + 63) & ~63ull;
}

u64 pools_size(void) {
    u64 total = 0;
    for (u32 i = 0; i < COUNT(plan_of_pools); i++)
        total += rounded(plan_of_pools[i].size) * plan_of_pools[i].count;
    return total;
}

void pools_init(u8 *at) {
    for (u32 i = 0; i < COUNT(plan_of_pools); i++) {
        u64 size = rounded(plan_of_pools[i].size), whole = size * plan_of_pools[i].count;
        *plan_of_pools[i].pool = (struct pool){NULL, at, at, at + whole, (u32)size};
        at += whole;
    }
    agent.all = (struct connection *)connections.begin;
}

static void *take(struct pool *pool) {
    void *item = pool->free;
    if (LIKELY(item)) {
        pool->free = *(void **)item;
        return item;
    }
    if (pool->fresh == pool->end)
        return NULL;
    item = pool->fresh;
    pool->fresh += pool->size;
    return item;
}

/* What comes from an earlier era's mapping isn't taken back. */
static void give(struct pool *pool, void *item) {
    if (UNLIKELY((u8 *)item < pool->begin || (u8 *)item >= pool->end))
        return;
    *(void **)item = pool->free;
    pool->free = item;
}

static void *take_clean(struct pool *pool) {
    void *item = take(pool);
    if (item)
        memset(item, 0, pool->size);
    return item;
}

struct connection *connection_take(void) {
    struct connection *connection = take(&connections);
    if (!connection)
        return NULL;
    u32 generation = connection->generation;
    memset((u8 *)connection + sizeof(struct dialogue), 0, sizeof *connection - sizeof(struct dialogue));
    connection->generation = generation ? generation + 1 : (agent.era << 20) + 1;
    return connection;
}

/* The generation is another's from now on: who still knows the old one finds nobody. */
void connection_give(struct connection *connection) {
    if (!++connection->generation)
        connection->generation = 1;
    give(&connections, connection);
}

/* An empty pool may be full of what belongs to calls that never return. */
static void *take_swept(struct pool *pool) {
    void *item = take(pool);
    if (LIKELY(item))
        return item;
    sendings_sweep();
    return take(pool);
}

struct sending *sending_take(void) {
    return take_swept(&sendings);
}

struct sending *sending_at(u32 index) {
    u8 *at = sendings.begin + (u64)index * sendings.size;
    return at < sendings.fresh ? (struct sending *)at : NULL;
}

void sending_give(struct sending *sending) {
    give(&sendings, sending);
}

struct group *group_take(void) {
    return take_clean(&groups);
}

struct turn *turn_take(void) {
    return take(&turns);
}

void turn_give(struct turn *turn) {
    give(&turns, turn);
}

struct request *request_take(void) {
    return take(&requests);
}

void request_give(struct request *request) {
    give(&requests, request);
}

struct desk *desk_take(void) {
    return take_swept(&desks);
}

void desk_give(struct desk *desk) {
    give(&desks, desk);
}

u8 *held_take(void) {
    return take(&helds);
}

void held_give(u8 *held) {
    give(&helds, held);
}

/* -- blobs, in three sizes */

static struct blob *blob_of(struct pool *pool, u32 capacity) {
    if (capacity > pool->size - sizeof(struct blob))
        return NULL;
    struct blob *blob = take(pool);
    if (blob)
        *blob = (struct blob){.references = 1, .size = 0, .capacity = pool->size - (u32)sizeof(struct blob)};
    return blob;
}

struct blob *blob_take(u32 capacity) {
    struct blob *blob = blob_of(&small_blobs, capacity);
    if (!blob)
        blob = blob_of(&large_blobs, capacity);
    if (!blob)
        blob = blob_of(&huge_blobs, capacity);
    return blob;
}

void blob_release(struct blob *blob) {
    if (!blob || --blob->references)
        return;
    u32 size = blob->capacity + (u32)sizeof(struct blob);
    give(size == small_blobs.size ? &small_blobs : size == large_blobs.size ? &large_blobs : &huge_blobs, blob);
}

/* -- places: those of threads that have ended are found when new ones are wanted */

static u32 hand; /* index of the place that is looked at next */

static bool is_dead(const struct place *place) {
    return place->process != agent.pid || raw_call(__NR_tgkill, agent.pid, place->tid, 0, 0, 0, 0) == -3 /* ESRCH */;
}

static void sweep(u32 count) {
    u32 taken = (u32)((places.fresh - places.begin) / places.size);
    for (u32 i = 0; i < MIN(count, taken); i++) {
        struct place *place = (struct place *)(places.begin + (u64)(hand++ % taken) * places.size);
        if (place->tid && !place->routine && is_dead(place))
            place_give(place);
    }
}

/* Each new one makes room for one or two: threads that come and go don't touch more and more memory. */
struct place *place_take(u32 tid) {
    sweep(2);
    if (!places.free && places.fresh == places.end)
        sweep(MOST_THREADS);
    struct place *place = take(&places);
    if (!place)
        return NULL;
    thread_init(&place->thread, agent.group);
    place->tid = tid;
    place->process = agent.pid;
    place->routine = NULL;
    place->era = agent.era;
    return place;
}

void place_give(struct place *place) {
    thread_forget_all(&place->thread);
    place->tid = 0;
    give(&places, place);
}
