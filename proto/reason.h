/*
 * reason.h - why something did not work: the closed list of codes, and the
 * fault that carries one to a person.
 *
 * The same codes are used in RESET and GOAWAY frames, in the HTTP API, in task
 * records and by the commands.  Each has one line of advice.
 */
#ifndef PROTO_REASON_H
#define PROTO_REASON_H

#include "proto/rc.h"

#include <stdarg.h>
#include <stdbool.h>

enum reason {
	REASON_NONE = 0,
	REASON_NO_ROUTE,
	REASON_STALE_ROUTE,
	REASON_NOT_PERMITTED,
	REASON_DNS,
	REASON_REFUSED,
	REASON_CONNECT_TIMEOUT,
	REASON_TLS,
	REASON_CLOCK,
	REASON_WRONG_IDENTITY,
	REASON_REVOKED,
	REASON_CLONE,
	REASON_JOURNAL,
	REASON_SUPERSEDED,
	REASON_RELAY_DOWN,
	REASON_AGENT_DOWN,
	REASON_DEADLINE,
	REASON_TOO_MANY,
	REASON_MEMORY,
	REASON_DRAINING,
	REASON_PROTOCOL,
	REASON_VERSION,
	REASON_TOKEN,
	REASON_EXPIRED,
	REASON_NO_SPACE,
	REASON_CANCELLED,
	REASON_NOT_FOUND,
	REASON_CONFLICT, /* exists already, or is still in use */
	REASON_BAD_PACKAGE,
	REASON_BAD_CONFIG,
	REASON_SCRIPT_FAILED,
	REASON_TIMED_OUT, /* a script's own time limit */
	REASON_UNKNOWN,   /* nobody can know the outcome */
	REASON_INTERNAL,
	REASON_PROXY,         /* the proxy on the way said no, or nothing */
	REASON_OUT_OF_MEMORY, /* a script, by its limit or the machine's */
	REASON_COUNT
};

#define FAULT_AT_MAX   64
#define FAULT_TEXT_MAX 256

/*
 * What went wrong, in a user's words.  A value: no allocation, copied freely.
 * text is one line without control characters, e.g. "web-03: connection
 * refused at 10.0.0.3:10933"; at names who noticed ("relay dc2-a"), or "".
 */
struct fault {
	enum reason code;
	char at[FAULT_AT_MAX];
	char text[FAULT_TEXT_MAX];
};

/* "no-route"...  Never NULL; REASON_NONE is "none". */
const char *reason_name(enum reason code);
/* One sentence that says what a person can do.  Never NULL. */
const char *reason_advice(enum reason code);
/* RC_NOTFOUND: no such code.  (A newer peer's code: treat as internal.) */
MUST_CHECK enum rc reason_parse(const char *name, enum reason *out);

/*
 * Fill *f; at and the formatted text are cut at their sizes and what is
 * not printable UTF-8 becomes '?'.  f may be NULL: then nothing happens.
 */
void fault_set(struct fault *f, enum reason code, const char *at,
    const char *format, ...) PRINTF_LIKE(4, 5);
void fault_clear(struct fault *f);

#endif
