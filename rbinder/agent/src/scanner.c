/* Follows HTTP/1 messages in one direction of a connection, cut anywhere (stream.py, scanner.py).
 *
 *     START ──first byte──▶ IN_HEAD ──blank line──▶ BODY or CHUNKS ──▶ START   any of them ──not HTTP/1──▶ OPAQUE
 *                             └──its CR only──▶ BLANK_LF ──LF──┘
 *
 * A head that lies in one buffer is read where it lies. One that comes in pieces is collected in `held`; of one that
 * outgrows KEPT the first lines stay there, and walk.c reads the others as they pass.
 *
 * Another thread may change the bytes while we read them: no offset is taken from them, only from where they lie.
 */
#include "lines.h"

/* What comes behind a head (Scanner._begin_body). */
enum follows { NOTHING, COUNTED, CHUNKED, UNTIL_CLOSE, TUNNELLED, OTHER_PROTOCOL, ANOTHER_HEAD };
enum { TELL_END = 1, TELL_OPAQUE = 2 };
enum part { IN_METHOD, IN_TARGET, IN_VERSION, BEFORE_LF };

/* What a step is to do with its bytes: data[at, size) of one call, and where it reports. */
struct feed {
    const u8 *data;
    u64 at, size;
    struct event *event;
};

/* -- what is held */

static bool borrows(const struct scanner *scanner) { return scanner->self != scanner && !scanner->held_new; }

static void forget_held(struct scanner *scanner) {
    scanner->held = NULL;
    scanner->held_begin = scanner->held_size = 0;
    scanner->held_new = false;
}

/* Nothing of `held` is needed any more. A trial's head may still be asked for, and the original needs what is its own. */
RARE static void leave_held(struct scanner *scanner) {
    if (scanner->self == scanner)
        held_give(scanner->held);
    else if (scanner->held_new)
        return;
    forget_held(scanner);
}

static u8 *held_text(const struct scanner *scanner) { return scanner->held + scanner->held_begin; }

/* Makes room for `more` bytes behind those held, at most KEPT + 2 in all. False: there is none. */
static bool make_room(struct scanner *scanner, u64 more) {
    u32 size = scanner->held_size;
    if (scanner->held && scanner->held_begin + size + more <= HELD_SIZE)
        return true;
    u8 *room = scanner->held && !borrows(scanner) ? scanner->held : held_take();
    if (!room)
        return false;
    if (size)
        memmove(room, held_text(scanner), size);
    scanner->held_new = scanner->self != scanner;
    scanner->held = room;
    scanner->held_begin = 0;
    return true;
}

static bool hold_more(struct scanner *scanner, const u8 *at, u64 count) {
    if (!make_room(scanner, count))
        return false;
    memcpy(held_text(scanner) + scanner->held_size, at, count);
    scanner->held_size += (u32)count;
    return true;
}

/* Go to `state` with nothing held (Scanner._forget). A head that was just told keeps its bytes: see leave_held(). */
static void forget(struct scanner *scanner, enum scanner_state state) {
    scanner->state = state;
    scanner->left = scanner->size = 0;
    if (LIKELY(!scanner->held)) /* then nothing is known of a beginning either */
        return;
    scanner->held_begin += scanner->held_size;
    scanner->held_size = scanner->checked = 0;
    scanner->lined = scanner->is_long = false;
    scanner->part = IN_METHOD;
}

/* -- events */

static bool tell(struct event *event, enum event_kind kind, u64 at, u64 body_size) {
    event->kind = kind;
    event->at = at;
    event->insert_at = at;
    event->body_size = body_size;
    return true;
}

RARE static bool hands_off(struct scanner *scanner, struct feed *feed) {
    forget(scanner, OPAQUE);
    if (scanner->held)
        leave_held(scanner);
    scanner->outstanding = 0;
    return tell(feed->event, EVENT_OPAQUE, feed->at, 0);
}

static bool told_later(struct scanner *scanner, u64 at, struct event *event) {
    if (scanner->told & TELL_END) {
        scanner->told &= (u8)~TELL_END;
        return tell(event, EVENT_END, at, 0);
    }
    scanner->told = 0;
    return tell(event, EVENT_OPAQUE, at, 0);
}

/* -- what a head means */

static enum method_kind oldest_method(const struct scanner *scanner) {
    u32 at = scanner->oldest;
    return (enum method_kind)(scanner->self->methods[at / 32] >> (at % 32 * 2) & 3);
}

/* RFC 9112 9.3. */
static bool last_of_connection(const struct head *head, const struct framing *framing) {
    return framing->close || (head->minor == 0 && !framing->keep_alive);
}

static bool interpret_request(struct scanner *scanner, struct head *head, const struct framing *framing) {
    if (framing->coded && (!framing->chunked_last || head->minor == 0))
        return false; /* RFC 9112 6.1, 6.3: its length can't be told reliably */
    head->interim = false;
    head->ends_connection = last_of_connection(head, framing);
    if (head->method.size == 7 && equal(head->method, BYTES("CONNECT")))
        scanner->follows = TUNNELLED;
    else if (head->chunked)
        scanner->follows = CHUNKED;
    else
        scanner->follows = head->has_length && head->content_length ? COUNTED : NOTHING;
    return true;
}

static void interpret_response(struct scanner *scanner, struct head *head, const struct framing *framing) {
    u32 status = head->status;
    enum method_kind method = oldest_method(scanner);
    bool connected = method == METHOD_CONNECT && status >= 200 && status < 300;
    /* RFC 9112 6.3, rules 1 and 2 */
    bool bodiless = status < 200 || status == 204 || status == 304 || method == METHOD_HEAD || connected;
    bool counted = head->chunked || head->has_length || bodiless;
    head->interim = status < 200 && status != 101;
    head->ends_connection = !head->interim && (!counted || last_of_connection(head, framing));
    if (head->interim)
        scanner->follows = ANOTHER_HEAD;
    else if (status == 101 || connected)
        scanner->follows = OTHER_PROTOCOL;
    else if (bodiless)
        scanner->follows = NOTHING;
    else if (head->chunked)
        scanner->follows = CHUNKED;
    else if (head->has_length)
        scanner->follows = head->content_length ? COUNTED : NOTHING;
    else
        scanner->follows = UNTIL_CLOSE;
}

/* Fills in what the fields say, where the start line is known; false: hands off. */
static inline bool interpret(struct scanner *scanner, struct head *head, const struct framing *framing) {
    if (!framing_sound(framing))
        return false;
    head->has_length = framing->has_length && !framing->coded;
    head->content_length = head->has_length ? framing->length : 0;
    head->chunked = framing->chunked_last;
    head->upgrade = framing->upgrade;
    scanner->left = head->content_length;
    if (!scanner->responses)
        return interpret_request(scanner, head, framing);
    interpret_response(scanner, head, framing);
    return true;
}

/* The body begins: its state, and what is to be told at once. */
static void begin_body(struct scanner *scanner) {
    static const u8 states[] = {
        [NOTHING] = START,    [COUNTED] = BODY,          [CHUNKED] = CHUNKS,    [UNTIL_CLOSE] = BODY,
        [TUNNELLED] = TUNNEL, [OTHER_PROTOCOL] = OPAQUE, [ANOTHER_HEAD] = START};
    u8 follows = scanner->follows;
    u64 length = follows == UNTIL_CLOSE ? UNLIMITED : follows == COUNTED ? scanner->left : 0;
    forget(scanner, states[follows]);
    scanner->left = length;
    if (follows == CHUNKED)
        scanner->parts.chunks = (struct chunks){.state = CHUNK_SIZE};
    if (follows == NOTHING)
        scanner->told = TELL_END;
    else if (follows == TUNNELLED || follows == OTHER_PROTOCOL)
        scanner->told = TELL_END | TELL_OPAQUE;
    if (!scanner->responses || follows == ANOTHER_HEAD)
        return;
    scanner->oldest = (scanner->oldest + 1) % MAX_OUTSTANDING;
    scanner->outstanding = follows == OTHER_PROTOCOL ? 0 : scanner->outstanding - 1;
}

/* -- heads */

/* Where a head's blank line is, in the fed bytes. */
struct blank {
    u64 at;      /* its first byte */
    u64 end;     /* behind what is there of it */
    bool crlf, complete;
};

/* False: what begins like a blank line is none. */
static inline bool measure_blank(const struct feed *feed, u64 at, struct blank *blank) {
    blank->at = at;
    blank->crlf = feed->data[at] == '\r';
    blank->complete = !blank->crlf || at + 1 < feed->size;
    blank->end = at + 1;
    if (!blank->crlf || !blank->complete)
        return true;
    blank->end++;
    return feed->data[at + 1] == '\n';
}

/* The offset of the blank line that ends a head (find_blank), or feed->size. `last` is the byte before data[at]. */
static u64 find_blank(const struct feed *feed, u8 last) {
    const u8 *at = feed->data + feed->at, *end = feed->data + feed->size;
    while (at && at < end) {
        if (last == '\n' && (*at == '\r' || *at == '\n'))
            return (u64)(at - feed->data);
        at = find_byte(at, end, '\n');
        at = at ? at + 1 : NULL;
        last = '\n';
    }
    return feed->size;
}

static bool tell_head(struct scanner *scanner, struct feed *feed, const struct blank *blank) {
    tell(feed->event, EVENT_HEAD, blank->end, 0);
    feed->event->insert_at = blank->at;
    feed->at = blank->end;
    if (blank->complete) {
        begin_body(scanner);
        return true;
    }
    u64 length = scanner->left;
    forget(scanner, BLANK_LF);
    scanner->left = length;
    return true;
}

/* The last LF among the first KEPT bytes: how much of a head is kept that is longer than that. */
RARE static u32 first_lines(const u8 *text) {
    u32 size = KEPT;
    while (size && text[size - 1] != '\n')
        size--;
    return size;
}

/* A head whose blank line is not complete has its LF all the same: with it, it must be held. */
RARE static bool hold_whole(struct scanner *scanner, struct head *head, const u8 *text, u32 size) {
    u32 target = (u32)(head->target.at - text);
    if (!hold_more(scanner, text, size) || !hold_more(scanner, (const u8 *)"\r\n", 2))
        return false;
    text = held_text(scanner);
    head->raw.at = head->method.at = text;
    head->target.at = text + target;
    return true;
}

/* All of a head up to its blank line lies at `text`: in the fed bytes, or held with a blank line behind it. */
static inline bool whole_head(struct scanner *scanner, struct feed *feed, const struct framing *framing,
                              const u8 *text, u64 size, const struct blank *blank) {
    struct head *head = &feed->event->head;
    if (!interpret(scanner, head, framing))
        return hands_off(scanner, feed);
    head->newline = text[size - 2] == '\r' ? 2 : 1;
    head->truncated = size > KEPT;
    head->indexed = head->indexed && !head->truncated;
    head->raw = (struct bytes){text, head->truncated ? first_lines(text) : (u32)size + (blank->crlf ? 2 : 1)};
    if (!head->raw.size)
        return hands_off(scanner, feed);
    if (!blank->complete && !scanner->held_size && !head->truncated && !hold_whole(scanner, head, text, (u32)size))
        return hands_off(scanner, feed);
    return tell_head(scanner, feed, blank);
}

/* A truncated head lies in the fed bytes and ends in them. */
static bool long_head(struct scanner *scanner, struct feed *feed, const struct blank *blank) {
    struct head *head = &feed->event->head;
    const u8 *text = held_text(scanner), *next;
    if (start_line(scanner->responses, text, text + scanner->held_size, head, &next) != WHOLE ||
        !interpret(scanner, head, &scanner->parts.walk.framing))
        return hands_off(scanner, feed);
    head->present = scanner->parts.walk.present;
    head->newline = scanner->parts.walk.crlf ? 2 : 1;
    head->truncated = true;
    head->indexed = false;
    head->raw = (struct bytes){text, scanner->held_size};
    return tell_head(scanner, feed, blank);
}

/* -- the beginning of a head whose end is still to come */

static bool request_may_follow(struct scanner *scanner, const u8 *text, u64 size) {
    static const u8 in_version[256] = {['H'] = 1, ['T'] = 1, ['P'] = 1, ['/'] = 1, ['1'] = 1, ['.'] = 1, ['0'] = 1};
    u64 at = scanner->checked;
    for (; at < size; at++) {
        u8 byte = text[at];
        if (scanner->part == IN_METHOD && token_bytes[byte] && at < METHOD_SIZE)
            continue;
        if (scanner->part == IN_TARGET && byte > ' ' && byte != 0x7f)
            continue;
        if (scanner->part == IN_VERSION && in_version[byte])
            continue;
        if (scanner->part == IN_VERSION && byte == '\r')
            scanner->part = BEFORE_LF;
        else if (byte == ' ' && at && scanner->part < IN_VERSION)
            scanner->part++;
        else
            return false;
    }
    scanner->checked = (u32)MIN(at, (u64)KEPT);
    return true;
}

static bool response_may_follow(struct scanner *scanner, const u8 *text, u64 size) {
    static const u8 begins[] = {'H', 'T', 'T', 'P', '/', '1', '.', '0', ' '};
    u64 at = scanner->checked;
    for (; at < size; at++) {
        u8 byte = text[at];
        if (at >= sizeof begins ? byte == '\0' : byte != begins[at] && !(at == 7 && byte == '1'))
            return false;
    }
    scanner->checked = (u32)MIN(at, (u64)KEPT);
    return true;
}

/* Whether text[0, size) begins with a good start line, or might once more has come (REQUEST_LINE_PREFIX). */
static bool may_be_head(struct scanner *scanner, const u8 *text, u64 size, const u8 *lf) {
    if (scanner->lined)
        return true;
    if (lf) {
        struct head head;
        const u8 *next;
        scanner->lined = start_line(scanner->responses, text, lf + 1, &head, &next) == WHOLE;
        return scanner->lined;
    }
    return scanner->responses ? response_may_follow(scanner, text, size) : request_may_follow(scanner, text, size);
}

/* The head, held up to KEPT bytes, is longer: from here on its lines are walked over; the first ones stay. */
static bool become_long(struct scanner *scanner) {
    struct head head;
    const u8 *text = held_text(scanner), *end = text + scanner->held_size, *next;
    if (start_line(scanner->responses, text, end, &head, &next) != WHOLE)
        return false;
    scanner->is_long = true;
    walk_begin(&scanner->parts.walk, scanner->responses);
    walk_feed(&scanner->parts.walk, next, end);
    scanner->held_size = first_lines(text);
    return scanner->held_size > 0;
}

/* The fed bytes, up to `stop`, belong to a head that is longer than KEPT. */
static bool walk_on(struct scanner *scanner, struct feed *feed, u64 stop) {
    bool first = !scanner->is_long;
    u64 at = feed->at;
    if (first) {
        u64 room = KEPT - scanner->held_size;
        if (!hold_more(scanner, feed->data + at, room) || !become_long(scanner))
            return false;
        at += room;
    }
    const u8 *reached = walk_feed(&scanner->parts.walk, feed->data + at, feed->data + stop);
    if (reached != feed->data + stop)
        return false; /* it was another blank line a moment ago */
    return (!first && stop == feed->size && scanner->parts.walk.tail <= KEPT) || walk_fold(&scanner->parts.walk, first);
}

/* No blank line is in the fed bytes, and the head is no longer than KEPT so far: hold them. */
static bool hold_short(struct scanner *scanner, const u8 *at, u64 count) {
    const u8 *lf = scanner->lined ? NULL : find_byte(at, at + count, '\n');
    u32 before = scanner->held_size;
    if (!before) /* most of what is no HTTP shows here, and needs no room */
        return may_be_head(scanner, at, count, lf) && hold_more(scanner, at, count);
    if (!hold_more(scanner, at, count))
        return false;
    const u8 *text = held_text(scanner);
    return may_be_head(scanner, text, before + count, lf ? text + before + (lf - at) : NULL);
}

/* No blank line is in the fed bytes: keep what is needed of them. */
RARE static bool hold(struct scanner *scanner, struct feed *feed) {
    u64 count = feed->size - feed->at;
    bool is_long = scanner->is_long || scanner->held_size + count > KEPT;
    if (is_long ? !walk_on(scanner, feed, feed->size) : !hold_short(scanner, feed->data + feed->at, count))
        return hands_off(scanner, feed);
    feed->at = feed->size;
    return false;
}

/* A head of which nothing is held begins at data[at]. */
static bool fresh_head(struct scanner *scanner, struct feed *feed) {
    const u8 *text = feed->data + feed->at, *found;
    struct framing framing;
    struct blank blank;
    enum parsed_kind kind = parse_lines(&feed->event->head, &framing, scanner->responses, text,
                                        feed->data + feed->size, &found);
    if (UNLIKELY(kind == UNFINISHED || (kind == BAD && find_blank(feed, 0) == feed->size)))
        return hold(scanner, feed);
    if (UNLIKELY(kind == BAD || !measure_blank(feed, (u64)(found - feed->data), &blank)))
        return hands_off(scanner, feed);
    return whole_head(scanner, feed, &framing, text, (u64)(found - text), &blank);
}

/* A head of which something is held goes on at data[at]. */
RARE static bool held_head(struct scanner *scanner, struct feed *feed) {
    bool at_line = scanner->is_long ? scanner->parts.walk.line == 0 : held_text(scanner)[scanner->held_size - 1] == '\n';
    u64 found = find_blank(feed, at_line ? '\n' : 0);
    if (found == feed->size)
        return hold(scanner, feed);
    struct blank blank;
    if (!measure_blank(feed, found, &blank))
        return hands_off(scanner, feed);
    u64 size = scanner->held_size + (found - feed->at);
    if (scanner->is_long || size > KEPT)
        return walk_on(scanner, feed, found) ? long_head(scanner, feed, &blank) : hands_off(scanner, feed);
    struct framing framing;
    bool held = hold_more(scanner, feed->data + feed->at, found - feed->at) &&
                hold_more(scanner, (const u8 *)(blank.crlf ? "\r\n" : "\n"), blank.crlf ? 2 : 1);
    const u8 *text = held_text(scanner), *again;
    if (!held || parse_lines(&feed->event->head, &framing, scanner->responses, text, text + scanner->held_size, &again) ||
        again != text + size)
        return hands_off(scanner, feed);
    return whole_head(scanner, feed, &framing, text, size, &blank);
}

/* -- steps: each takes bytes from data[at]; true: it has something to tell */

static bool start_step(struct scanner *scanner, struct feed *feed) {
    if (scanner->responses && !scanner->outstanding) {
        feed->at = feed->size;
        return false;
    }
    u8 first;
    while ((first = feed->data[feed->at]) == '\r' || first == '\n') /* RFC 9112 2.2: empty lines before it are ignored */
        if (++feed->at == feed->size)
            return false;
    if (scanner->responses ? first != 'H' : !token_bytes[first])
        return hands_off(scanner, feed);
    scanner->state = IN_HEAD;
    return fresh_head(scanner, feed);
}

static bool blank_lf_step(struct scanner *scanner, struct feed *feed) {
    if (feed->data[feed->at] != '\n')
        return hands_off(scanner, feed);
    feed->at++;
    begin_body(scanner);
    return scanner->told && told_later(scanner, feed->at, feed->event);
}

static bool pass_body(struct scanner *scanner, u64 count, u64 at, struct event *event) {
    scanner->size += count;
    scanner->left -= count;
    if (scanner->left)
        return false;
    scanner->state = START;
    return tell(event, EVENT_END, at, scanner->size);
}

static bool body_step(struct scanner *scanner, struct feed *feed) {
    u64 count = MIN(scanner->left, feed->size - feed->at);
    feed->at += count;
    return pass_body(scanner, count, feed->at, feed->event);
}

static bool chunks_step(struct scanner *scanner, struct feed *feed) {
    u64 after = chunks_feed(&scanner->parts.chunks, &scanner->left, feed->data, feed->at, feed->size);
    scanner->size += after - feed->at;
    feed->at = after;
    if (scanner->parts.chunks.state == CHUNK_BROKEN)
        return hands_off(scanner, feed);
    if (scanner->parts.chunks.state != CHUNK_DONE)
        return false;
    scanner->state = START;
    return tell(feed->event, EVENT_END, after, scanner->size);
}

static bool step(struct scanner *scanner, struct feed *feed) {
    switch (scanner->state) {
    case START:
        return start_step(scanner, feed);
    case IN_HEAD:
        return held_head(scanner, feed);
    case BLANK_LF:
        return blank_lf_step(scanner, feed);
    case BODY:
        return body_step(scanner, feed);
    case CHUNKS:
        return chunks_step(scanner, feed);
    default: /* TUNNEL, OPAQUE */
        forget(scanner, OPAQUE);
        scanner->outstanding = 0;
        feed->at = feed->size;
        return false;
    }
}

/* -- what is called */

void scanner_init(struct scanner *scanner, bool responses) {
    *scanner = (struct scanner){.self = scanner, .responses = responses};
}

__attribute__((noinline)) static bool advance(struct scanner *scanner, const u8 *data, u64 size, u64 *at,
                                              struct event *event) {
    struct feed feed = {data, *at, size, event};
    bool told = false;
    if (UNLIKELY(scanner->held) && scanner->state != IN_HEAD)
        leave_held(scanner);
    while (feed.at < size && !told)
        told = step(scanner, &feed);
    *at = feed.at;
    return told;
}

bool scanner_goes_on(struct scanner *scanner, const u8 *data, u64 size, u64 *at, struct event *event) {
    return scanner->told ? told_later(scanner, *at, event) : advance(scanner, data, size, at, event);
}

u64 scanner_skippable(const struct scanner *scanner) {
    if (scanner->state == BODY || scanner->state == CHUNKS)
        return scanner->left;
    return scanner->state == OPAQUE ? UNLIMITED : 0;
}

bool scanner_skip(struct scanner *scanner, u64 count, struct event *event) {
    if (scanner->state == OPAQUE || !count)
        return false;
    if (count > scanner_skippable(scanner)) {
        struct feed feed = {NULL, 0, 0, event};
        return hands_off(scanner, &feed);
    }
    if (scanner->state == BODY)
        return pass_body(scanner, count, count, event);
    chunks_skip(&scanner->parts.chunks, &scanner->left, count);
    scanner->size += count;
    return false;
}

bool scanner_eof(struct scanner *scanner, struct event *event) {
    bool ends = scanner->state == BODY && scanner->left > UNLIMITED >> 1;
    if (ends)
        tell(event, EVENT_END, 0, scanner->size);
    scanner_give_up(scanner);
    return ends;
}

void scanner_give_up(struct scanner *scanner) {
    if (scanner->held && !borrows(scanner))
        held_give(scanner->held);
    forget(scanner, OPAQUE);
    forget_held(scanner);
    scanner->told = 0;
    scanner->outstanding = 0;
}

void scanner_try(struct scanner *trial, const struct scanner *scanner) {
    memcpy(trial, scanner, offsetof(struct scanner, parts));
    if (UNLIKELY(scanner->state == CHUNKS || scanner->is_long))
        trial->parts = scanner->parts;
}

void scanner_abandon_trial(struct scanner *trial, const struct scanner *original) {
    (void)original;
    if (trial->held && !borrows(trial))
        held_give(trial->held);
    forget_held(trial);
}

void scanner_commit(struct scanner *scanner, const struct scanner *trial) {
    u8 *former = scanner->held;
    /* What it borrowed was given back meanwhile: two threads were sending at once. */
    bool lost = trial->held && trial->held != former && borrows(trial);
    scanner_try(scanner, trial);
    scanner->self = scanner;
    if (former && former != scanner->held)
        held_give(former);
    if (lost)
        forget_held(scanner);
    if (lost && scanner->state == IN_HEAD)
        scanner_give_up(scanner);
    if (scanner->held && scanner->state != IN_HEAD)
        leave_held(scanner);
    scanner->held_new = false;
}

void scanner_resume(struct scanner *scanner) {
    if (scanner->state == TUNNEL)
        forget(scanner, START);
}

void scanner_expect(struct scanner *scanner, struct bytes method) {
    if (scanner->outstanding >= MAX_OUTSTANDING)
        scanner_give_up(scanner);
    if (scanner_opaque(scanner))
        return;
    u64 kind = METHOD_OTHER;
    if (equal(method, BYTES("HEAD")))
        kind = METHOD_HEAD;
    else if (equal(method, BYTES("CONNECT")))
        kind = METHOD_CONNECT;
    u32 at = (scanner->oldest + scanner->outstanding++) % MAX_OUTSTANDING;
    u64 *place = &scanner->self->methods[at / 32];
    *place = (*place & ~(3ull << (at % 32 * 2))) | kind << (at % 32 * 2);
}
