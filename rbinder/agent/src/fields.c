/* Field names that matter, and what their values say about the body (framing.py, RFC 9112 6). */
#include "lines.h"

/* !#$%&'*+-.^_`|~ digits and letters. */
const u8 token_bytes[256] = {
    ['!'] = 1, ['#' ... '\''] = 1, ['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,       ['0' ... '9'] = 1,
    ['A' ... 'Z'] = 1, ['^' ... 'z'] = 1, ['|'] = 1, ['~'] = 1,
};

const struct usual_name usual_names[32] = {
#define NAMED(field, first, literal) [USUAL_PLACE(first, sizeof literal - 1)] = {literal, sizeof literal - 1, field}
    NAMED(FIELD_HOST, 'h', "host"),
    NAMED(FIELD_EXPECT, 'e', "expect"),
    NAMED(FIELD_UPGRADE, 'u', "upgrade"),
    NAMED(NAME_BAGGAGE, 'b', "baggage"),
    NAMED(FIELD_FORWARDED, 'f', "forwarded"),
    NAMED(FIELD_USER_AGENT, 'u', "user-agent"),
    NAMED(FIELD_CONNECTION, 'c', "connection"),
    NAMED(NAME_TRACESTATE, 't', "tracestate"),
    NAMED(FIELD_LENGTH, 'c', "content-length"),
    NAMED(NAME_TRACEPARENT, 't', "traceparent"),
    NAMED(0, 'c', "content-type"), /* of no interest, and in most heads */
    NAMED(NAME_X_REQUEST_ID, 'x', "x-request-id"),
    NAMED(FIELD_FORWARDED_FOR, 'x', "x-forwarded-for"),
#undef NAMED
};

/* Names by their length; then a comparison or two. */
u32 identify_likely(const u8 *name, u32 size) {
    switch (size) {
    case 2:
        return SPELLS(name, "b3") ? NAME_B3 : 0;
    case 4:
        return SPELLS(name, "host") ? FIELD_HOST : 0;
    case 6:
        if (SPELLS(name, "expect"))
            return FIELD_EXPECT;
        break;
    case 7:
        if (SPELLS(name, "upgrade"))
            return FIELD_UPGRADE;
        if (SPELLS(name, "baggage"))
            return NAME_BAGGAGE;
        break;
    case 9:
        if (SPELLS(name, "forwarded"))
            return FIELD_FORWARDED;
        break;
    case 10:
        if (SPELLS(name, "user-agent"))
            return FIELD_USER_AGENT;
        if (SPELLS(name, "connection"))
            return FIELD_CONNECTION;
        if (SPELLS(name, "tracestate"))
            return NAME_TRACESTATE;
        break;
    case 14:
        if (SPELLS(name, "content-length"))
            return FIELD_LENGTH;
        break;
    case 11:
        if (SPELLS(name, "traceparent"))
            return NAME_TRACEPARENT;
        break;
    case 12:
        if (SPELLS(name, "x-request-id"))
            return NAME_X_REQUEST_ID;
        break;
    case 15:
        if (SPELLS(name, "x-forwarded-for"))
            return FIELD_FORWARDED_FOR;
        break;
    case 16:
        if (SPELLS(name, "x-forwarded-host"))
            return FIELD_FORWARDED_HOST;
        break;
    case 17:
        if (SPELLS(name, "transfer-encoding"))
            return FIELD_CODING;
        if (SPELLS(name, "x-ot-span-context"))
            return NAME_X_OT_SPAN_CONTEXT;
        if (SPELLS(name, "x-forwarded-proto"))
            return FIELD_FORWARDED_PROTO;
        break;
    default:
        break;
    }
    return (name[0] | 0x20) == 'x' && size >= 5 && SPELLS(name, "x-b3-") ? NAME_X_B3 : 0;
}

void framing_begin(struct framing *framing, u32 field) {
    if (field == FIELD_CODING)
        framing->coded = true;
}

/* All lengths of a head must be the same text: as many digits, and the same number. */
static void length_element(struct framing *framing, struct bytes element) {
    u64 length = 0;
    bool bad = element.size < 1 || element.size > 18;
    for (u32 at = 0; at < element.size && !bad; at++) {
        u8 digit = (u8)(element.at[at] - '0');
        bad = digit > 9;
        length = length * 10 + digit;
    }
    if (framing->has_length)
        bad = bad || length != framing->length || element.size != framing->length_digits;
    framing->has_length = true;
    framing->length_bad = framing->length_bad || bad;
    framing->length = length;
    framing->length_digits = (u8)element.size;
}

void framing_element(struct framing *framing, u32 field, struct bytes element) {
    if (field == FIELD_LENGTH) {
        length_element(framing, element);
    } else if (element.size && field == FIELD_CODING) {
        framing->chunked_last = element.size == 7 && SPELLS(element.at, "chunked");
        framing->chunked_count = (u8)MIN(framing->chunked_count + framing->chunked_last, 2);
    } else if (element.size && field == FIELD_CONNECTION) {
        if (element.size == 5 && SPELLS(element.at, "close"))
            framing->close = true;
        else if (element.size == 10 && SPELLS(element.at, "keep-alive"))
            framing->keep_alive = true;
    } else if (element.size) {
        framing->upgrade = true;
    }
}

bool framing_sound(const struct framing *framing) { return !framing->length_bad && framing->chunked_count < 2; }

/* A size that no element of interest has, so that its text is not looked at; for one with a space within, too. */
#define TOO_LONG (sizeof((struct list *)0)->text + 1)

void list_feed(struct list *list, struct framing *framing, u32 field, const u8 *at, const u8 *end) {
    for (; at < end; at++) {
        u8 byte = *at;
        if (byte == ',') {
            list_end(list, framing, field);
        } else if (byte == ' ' || byte == '\t') {
            list->spaced = list->size > 0;
        } else if (list->spaced || list->size >= sizeof list->text) {
            list->size = TOO_LONG;
        } else {
            list->text[list->size++] = byte;
        }
    }
}

void list_end(struct list *list, struct framing *framing, u32 field) {
    framing_element(framing, field, (struct bytes){list->text, list->size});
    list->size = 0;
    list->spaced = false;
}
