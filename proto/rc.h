/*
 * rc.h - what a function says to its caller.
 *
 * A function that can fail returns enum rc and is marked MUST_CHECK.  What a
 * person is told travels beside it in a struct fault (proto/reason.h), filled
 * in where the cause is known.
 */
#ifndef PROTO_RC_H
#define PROTO_RC_H

enum rc {
	RC_OK = 0,
	RC_AGAIN,    /* not an error: needs more input or more credit */
	RC_NOMEM,    /* allocation failed */
	RC_LIMIT,    /* a configured bound was hit; object unchanged */
	RC_PROTO,    /* the peer or a file broke its format */
	RC_STATE,    /* the caller may not do this now; object unchanged */
	RC_NOTFOUND, /* no such stream, machine, file... */
	RC_EXISTS,   /* it is there already */
	RC_DENIED,   /* not permitted */
	RC_IO,       /* the operating system said no: errno is set */
	RC_CRYPTO,   /* OpenSSL said no, or a proof does not hold */
};

#define MUST_CHECK          __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, a) __attribute__((format(printf, fmt, a)))

/* Short lower-case name for logs, e.g. "protocol".  Never NULL. */
const char *rc_name(enum rc rc);

#endif
