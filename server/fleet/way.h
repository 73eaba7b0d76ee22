/*
 * way.h - one seal to a relay or machine, by the first of its routes that
 * works, past greet, welcome and confirm.
 *
 *     CLOSED --way_open--> OPENING --TLS--> GREETING --greet--> CONFIRMING
 *       ^                   ^   |              |                    |
 *       |                   +---+-- next route +--------------------+
 *       |                       |                                   |
 *       +------ FAILED <--------+ no more routes          confirm   v
 *       +---------------------- the seal is lost ----------------- READY
 *
 * Embedded in its owner.  No callback comes before way_open() has returned,
 * and a callback may end the way (way_fini) and free its owner.
 */
#ifndef SERVER_FLEET_WAY_H
#define SERVER_FLEET_WAY_H

#include "common/seal.h"
#include "proto/message_seal.h"
#include "server/fleet/slices.h"
#include "server/store/instance.h"

#include <sys/queue.h>

struct fleet;
struct greeting;
struct station;
struct way;

struct way_ops {
	void (*ready)(struct way *w);
	void (*message)(struct way *w, struct bytes message);
	void (*writable)(struct way *w); /* after RC_AGAIN */
	/* Its route is to be left, and there is a better one or not.  Must
	 * not free w.  NULL: it stays. */
	void (*move)(struct way *w, bool has_better);
	/* Not now, unless it must.  NULL: any time is fine. */
	bool (*is_busy)(const struct way *w);
	/* It is CLOSED again; fault names the target.  way_open() is fine. */
	void (*closed)(struct way *w, const struct fault *fault);
};

enum way_state {
	WAY_CLOSED,
	WAY_OPENING,
	WAY_GREETING,
	WAY_CONFIRMING,
	WAY_READY,
	WAY_FAILED, /* closed() follows from the loop */
};

/* What kind of way; static. */
struct way_kind {
	struct way_ops ops;
	enum stream_class service_class;
	size_t message_max;
};

struct way {
	TAILQ_ENTRY(way) of_station;
	struct fleet *fleet;
	struct station *station; /* NULL: there is no such machine (any more) */
	const struct way_kind *kind;
	enum way_state state;
	struct seal *seal; /* OPENING to READY */
	struct loop_timer *timer;
	unsigned tried;         /* bit per route */
	size_t route;           /* the one in use */
	uint64_t table_version; /* as a relay greeted */
	uint64_t welcomed_us;
	uint64_t opened_us;   /* READY since, on the loop's clock */
	uint32_t quickest_us; /* answer on this seal */
	/* A machine's life. */
	struct store_instance seen; /* as known when the seal was opened */
	struct greeting *greeting;  /* at the store; NULL: none */
	bool gave;                  /* this seal brought the token */
	uint8_t given[SUCCESSION_LEN];
	/* Of the last OPEN: the same id in the logs of every hop. */
	char trace[TRACE_MAX + 1];
	struct fault fault;
};

TAILQ_HEAD(way_list, way);

#define WAY_TRACE_BYTES 6 /* of the id in msg_open.trace */

/* The target's part of an OPEN by this route: to, path, version. */
void way_address(const struct station *t, size_t route, struct msg_open *open);

/* station may be NULL: then it fails when opened. */
MUST_CHECK enum rc way_init(struct way *w, struct fleet *f,
    struct station *station, const struct way_kind *kind);
/* Close without callbacks; fault NULL: after what was sent.  Twice is fine. */
void way_fini(struct way *w, const struct fault *fault);
void way_open(struct way *w);
/* Close it without callbacks, and open it by the route that is best now. */
void way_reopen(struct way *w);
/* The answer to a greet that had to wait: fault NULL: welcomed. */
void way_greeted(struct way *w, const struct fault *fault);
/* Where it leads, for a person: "relay dc2-a", or an address. */
void way_via(const struct way *w, char *out, size_t size);
/* What a struct msg_fault on this seal says, in the machine's name. */
void way_read_refusal(
    const struct way *w, struct bytes message, struct fault *out);
/* End the seal without callbacks; it is CLOSED then. */
void way_close(struct way *w, const struct fault *fault);
/* The same, and closed() is told from the loop. */
void way_fail(struct way *w, const struct fault *fault);
/* An answer has come to what was sent then; the way is READY. */
void way_heard(struct way *w, uint64_t sent_us);
/* The path of the open seal; false: none, or its route is gone. */
bool way_path(const struct way *w, struct path *out);
/* The round trip to the far end: of a direct link, or the quickest answer; 0:
 * not known. */
uint32_t way_rtt_us(const struct way *w);
/* Into the audit: what the proven far end said that it must not. */
void way_accuse(const struct way *w, const char *action, const char *object,
    const struct fault *fault);
/* Send what rc = encode(&pack) made, and free it.  Errors of seal_send(). */
MUST_CHECK enum rc way_send(struct way *w, enum rc rc, struct packbuf *pack);

#endif
