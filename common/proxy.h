/*
 * proxy.h - ask a proxy for a way through: HTTP CONNECT and SOCKS5.
 *
 *     proxy_talk_new() -> bytes for the proxy -> its answer, in any pieces
 *     -> RC_OK: whatever is sent now reaches the target
 *
 * No socket, no clock: bytes in, bytes out; common/dial.h has the socket.  The
 * target's name is given to the proxy as it is, never resolved here.  Offered
 * are Basic credentials (RFC 7617) and user and password (RFC 1929); what a
 * proxy answers is hostile input.  Any thread.
 */
#ifndef COMMON_PROXY_H
#define COMMON_PROXY_H

#include "proto/bytes.h"
#include "proto/name.h"
#include "proto/rc.h"
#include "proto/reason.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROXY_WORD_MAX        255  /* bytes of a user or of a password */
#define PROXY_ANSWER_MAX      8192 /* bytes of an HTTP answer's head */
#define PROXY_CREDENTIALS_MAX 1024 /* bytes of the file */

enum proxy_kind {
	PROXY_HTTP,
	PROXY_SOCKS5,
};

/* "http://10.0.0.9:3128", "socks5://[fd00::9]:1080" */
struct proxy {
	enum proxy_kind kind;
	struct endpoint at;
};

/* RC_PROTO: *fault says what is missing.  The port is required. */
MUST_CHECK enum rc proxy_parse(
    const char *text, struct proxy *out, struct fault *fault);

/* A secret: proxy_credentials_fini().  user "": none. */
struct proxy_credentials {
	char user[PROXY_WORD_MAX + 1];
	char password[PROXY_WORD_MAX + 1];
};

/*
 * "user:password" with an optional line end; the user has no ':'.  RC_PROTO:
 * *fault says what is wrong and never repeats the text.
 */
MUST_CHECK enum rc proxy_credentials_parse(const char *text, size_t len,
    struct proxy_credentials *out, struct fault *fault);
/* From a file that nobody else can read.  RC_DENIED: others can. */
MUST_CHECK enum rc proxy_credentials_read(
    const char *path, struct proxy_credentials *out, struct fault *fault);
void proxy_credentials_fini(struct proxy_credentials *credentials);

/*
 * Is host reached without the proxy?  A rule is a host's name or address as it
 * is dialled, ".example" (all names below it), or a network, "10.0.0.0/8".
 */
bool proxy_is_exempt(const char *const *rules, size_t count, const char *host);

/* How a program goes out: [link] proxy, proxy-credentials, no-proxy. */
struct proxy_settings {
	bool is_set;
	struct proxy proxy;
	const char *credentials; /* path, or NULL; borrowed */
	/* What was in it, for who cannot read it any more; NULL: it is read at
	 * every dial.  Borrowed. */
	const struct proxy_credentials *held;
	const char *const *exempt; /* borrowed */
	size_t exempt_count;
};

struct proxy_talk;

/*
 * Begin; everything is copied, credentials may be NULL or empty.  label begins
 * every fault: "web-03".  RC_NOMEM.
 */
MUST_CHECK enum rc proxy_talk_new(const struct proxy *proxy,
    const struct proxy_credentials *credentials, const struct endpoint *target,
    const char *label, struct proxy_talk **out);
void proxy_talk_free(struct proxy_talk *talk); /* wipes; NULL is fine */

/* What has to be sent now; proxy_talk_sent() takes from its front. */
struct bytes proxy_talk_output(const struct proxy_talk *talk);
void proxy_talk_sent(struct proxy_talk *talk, size_t len);

/*
 * What the proxy says.  RC_AGAIN: send the output, feed more.  RC_OK: the way
 * is open.  RC_DENIED: it is not: *fault (reason proxy) names proxy and target;
 * also when anything follows the answer, since the target waits for us.
 */
MUST_CHECK enum rc proxy_talk_feed(struct proxy_talk *talk, const uint8_t *data,
    size_t len, struct fault *fault);
/* The connection to the proxy ended, or (text) failed, before it was open. */
void proxy_talk_broken(
    const struct proxy_talk *talk, const char *text, struct fault *fault);

#endif
