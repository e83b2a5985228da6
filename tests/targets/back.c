// Back: answers every request with its id and the headers it received, as JSON. Usage: back PORT.

#include "wire.h"

// Appends bytes as the inside of a JSON string. Returns the new end.
static char *quote(char *out, const char *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] == '"' || bytes[i] == '\\') *out++ = '\\';
        if ((unsigned char)bytes[i] >= 0x20) *out++ = bytes[i];
    }
    return out;
}

static void describe(const struct message *message, char *out) {
    char id[64] = "";
    sscanf(message->bytes, "GET /leaf?id=%63[0-9]", id);
    out += sprintf(out, "{\"id\": \"%s\", \"headers\": [", id);
    const char *separator = "", *line = strstr(message->bytes, "\r\n") + 2;
    while (strncmp(line, "\r\n", 2)) {
        const char *end = strstr(line, "\r\n"), *colon = memchr(line, ':', (size_t)(end - line));
        if (!colon) break;
        const char *value = colon + 1 + strspn(colon + 1, " \t");
        out += sprintf(out, "%s[\"", separator);
        out = quote(out, line, (size_t)(colon - line));
        out += sprintf(out, "\", \"");
        out = quote(out, value, (size_t)(end - value));
        out += sprintf(out, "\"]");
        separator = ", ";
        line = end + 2;
    }
    strcpy(out, "]}");
}

static void *connection(void *argument) {
    int client = (int)(intptr_t)argument;
    struct message *message = malloc(sizeof *message);
    char *body = malloc(2 * MESSAGE_LIMIT);
    while (receive(client, message)) {
        describe(message, body);
        respond(client, body);
        if (is_last(message)) break;
    }
    free(body);
    free(message);
    close(client);
    return NULL;
}

int main(int count, char **arguments) {
    if (count != 2) return 2;
    serve(arguments[1], connection);
}
