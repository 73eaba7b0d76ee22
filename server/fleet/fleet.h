/*
 * fleet.h - every relay and machine of the cluster, and the ways to them.
 *
 *     links (dialled or accepted) -> control sessions to relays: route table
 *     down, presence up -> standing seals to machines: requests and replies
 *                       -> deploy seals: follow a ticket, bring a blob
 *
 * The fleet owns the targets in memory, read from the store at the start and
 * again when fleet_changed() says so.  It enrols who shows a good token.  It
 * knows nothing of tasks: server/dispatch asks and is answered by callbacks.
 *
 * Everything here runs on the main loop's thread.  A handle (struct fleet_ask,
 * fleet_follow, fleet_bring) is valid until its last callback begins or it is
 * cancelled; no callback comes before the call that made it has returned, none
 * after its cancel, and none from fleet_free().  Faults name the machine as
 * people do: "web-03: connection refused at 10.0.0.3:10933", at "relay dc2-a".
 */
#ifndef SERVER_FLEET_FLEET_H
#define SERVER_FLEET_FLEET_H

#include "common/buf.h"
#include "common/ca.h"
#include "common/config.h"
#include "common/identity.h"
#include "common/join_file.h"
#include "common/link.h"
#include "common/trust.h"
#include "common/worker.h"
#include "proto/message_deploy.h"
#include "proto/message_standing.h"
#include "server/fleet/flap.h"
#include "server/store/store.h"
#include "server/store/types.h"

struct fleet;
struct store_token;

/* --- Life ----------------------------------------------------------------- */

/* Times in milliseconds. */
struct fleet_settings {
	struct config_endpoint listen; /* port 0: the kernel chooses */
	/* What joiners are told to dial; "": the address that they used. */
	char advertise[ENDPOINT_SIZE];
	struct link_config link;
	uint32_t open_ms;          /* OPEN until the seal has been confirmed */
	uint32_t request_ms;       /* a request without a deadline of its own */
	uint32_t idle_ms;          /* a deploy seal without any message */
	uint32_t table_ms;         /* an enrolment waits so long for relays */
	uint32_t presence_ms;      /* changes are written this often */
	uint32_t standing_max;     /* standing seals; idle ones make room */
	uint32_t deploy_max;       /* followed at once; as many are brought */
	uint32_t asks_max;         /* requests under way, of all machines */
	uint32_t enrols_max;       /* enrolments under way */
	uint32_t approval_ms;      /* who waits for approval asks so often */
	struct flap_settings flap; /* of relays and of links to targets */
	uint32_t certificate_s;    /* life of relays' and machines', seconds */
};

/* The values of docs/protocol.md and architecture section 10. */
void fleet_settings_default(struct fleet_settings *settings);

/* Who signs joiners: the `agents` authority, and what they shall trust. */
struct fleet_issuer {
	const struct ca *agents;
	const struct ca *nodes;    /* NULL: its key is not on this node */
	const struct certs *roots; /* sent in `enrolled`, root included */
	/* The signed trust bundle that all shall have; number 0: none. */
	struct bytes bundle;
	uint64_t bundle_number;
	bool renewed; /* the node has a newer certificate */
};

struct fleet_ops {
	/* A machine can be talked to (again): now is a time to retry.  Ids. */
	void (*machine_up)(void *owner, const char *machine);
	void (*machine_down)(
	    void *owner, const char *machine, const struct fault *fault);
	/* Its journal is not the one that was known (any more): whether what
	 * it was asked to do was done, nobody knows.  The fault says why. */
	void (*machine_forgot)(
	    void *owner, const char *machine, const struct fault *fault);
	/* The database was put back from a copy, and says so from now on:
	 * nothing may be ordered by it. */
	void (*set_back)(void *owner, const struct fault *fault);
};

/* All borrowed while the fleet lives, but identity, which is only read. */
struct fleet_parts {
	struct loop *loop;
	struct worker_pool *pool; /* of the same loop */
	struct store *store;
	const struct fleet_settings *settings;
	const struct identity *identity; /* spiffe .../server/<node> */
	struct trust *trust;
	struct fleet_issuer issuer;
	struct msg_incarnation incarnation; /* of the database */
	const struct wrap_key *master;
	uint8_t term[TERM_LEN]; /* this server's; zeros: none is told */
	const struct fleet_ops *ops;
	void *owner;
};

/*
 * Read the targets (this blocks on the store), listen, dial.  RC_IO and
 * others: *fault says what.  No op is called before it returns.
 */
MUST_CHECK enum rc fleet_new(
    const struct fleet_parts *parts, struct fleet **out, struct fault *fault);
void fleet_free(struct fleet *f); /* NULL is fine */
/*
 * Authorities, trust or the node's own identity have changed (the objects in
 * fleet_parts are changed in place): sign by these, tell all of the bundle,
 * open links and seals with the new certificate, close those whose peer is not
 * believed any more.  The bundle is copied; authorities live on until the end.
 */
MUST_CHECK enum rc fleet_set_issuer(
    struct fleet *f, const struct fleet_issuer *issuer, struct fault *fault);
/* "0.0.0.0:10943": what it really listens at. */
const char *fleet_listen_address(const struct fleet *f);

/* --- Requests on the standing seal ---------------------------------------- */

struct fleet_ask;

/* What an encoder needs to know of the seal on which it will be sent. */
struct fleet_call {
	uint32_t id;         /* goes into the message */
	const char *journal; /* of the machine, as it greeted */
	uint64_t counter;    /* the highest of that journal that was seen */
	uint32_t features;   /* FEATURE_BIT() of each that it has */
	const struct msg_incarnation *incarnation;
};

struct fleet_reply {
	/* The whole reply, for the decoder of the op; empty: none came.  It
	 * may carry a fault of the machine itself (struct msg_reply). */
	struct bytes message;
	const struct fault *fault; /* NULL when there is a message */
	/* Without a message: false only when the machine surely never saw the
	 * request. */
	bool may_have_arrived;
};

struct fleet_request {
	const char *machine; /* id */
	enum msg_op op;
	uint32_t deadline_ms; /* from now, all in all; 0: request_ms */
	/*
	 * Append the encoded message.  Called once, when the seal is open,
	 * maybe within fleet_request().  Not RC_OK: answered with a fault.
	 */
	enum rc (*encode)(
	    void *arg, const struct fleet_call *call, struct packbuf *out);
	void (*reply)(void *arg, const struct fleet_reply *reply);
	void *arg;
};

/*
 * Ask a machine; opens its standing seal by the first route that works when
 * there is none.  Many may be under way; answers come in any order.  RC_LIMIT:
 * asks_max; RC_NOMEM.  Everything else is told by reply(), exactly once.
 */
MUST_CHECK enum rc fleet_request(struct fleet *f,
    const struct fleet_request *request, struct fleet_ask **out);
/* Forget it; the machine may still do it.  NULL is fine. */
void fleet_request_cancel(struct fleet_ask *ask);
/* A decoded reply's journal and counter are kept against disks rolled back. */
void fleet_saw_reply(
    struct fleet *f, const char *machine, const struct msg_reply *reply);

/* --- Following a ticket --------------------------------------------------- */

struct fleet_follow;

struct fleet_attach {
	const char *machine; /* id */
	const char *ticket;
	uint64_t offset;  /* of the log: what is committed already */
	uint32_t notes;   /* so many are kept already */
	const char *task; /* it is of: the machine obeys no earlier owner, */
	uint64_t epoch;   /* from this one on */
	/* Pieces in order and without gaps, from offset on. */
	void (*output)(void *arg, uint64_t offset, struct bytes data);
	/* Note by note, each number once; the bytes of an artifact follow it,
	 * whole.  It may begin anew: its note comes again. */
	void (*note)(void *arg, const struct msg_note *note);
	void (*piece)(void *arg, uint64_t offset, struct bytes data);
	/* The end; the last callback.  result borrows. */
	void (*result)(void *arg, const struct msg_result *result);
	/* Lost, or refused by the machine (its fault); the last callback:
	 * attach again from what is committed. */
	void (*down)(void *arg, const struct fault *fault);
	void *arg;
};

/* RC_LIMIT: deploy_max; RC_NOMEM. */
MUST_CHECK enum rc fleet_attach(struct fleet *f,
    const struct fleet_attach *attach, struct fleet_follow **out);
/* The log is committed up to here: told to the machine, for information. */
void fleet_follow_ack(struct fleet_follow *follow, uint64_t offset);
void fleet_detach(struct fleet_follow *follow); /* NULL is fine */

/* --- Bringing a blob ------------------------------------------------------ */

struct fleet_bring;

struct fleet_stage {
	const char *machine; /* id */
	const char *digest;  /* SHA-256 of the whole */
	uint64_t size;       /* bytes */
	const char *name;    /* for logs; may be "" */
	const char *version; /* for logs; may be "" */
	int fd;              /* the blob; the fleet closes it, always */
	/* How far it is, at most every 250 ms; may be NULL. */
	void (*progress)(void *arg, uint64_t sent, uint64_t size);
	/* fault NULL: it is there and verified.  The last callback. */
	void (*done)(void *arg, const struct fault *fault);
	void *arg;
};

/* Goes on where an earlier try stopped.  RC_LIMIT: deploy_max; RC_NOMEM. */
MUST_CHECK enum rc fleet_stage(
    struct fleet *f, const struct fleet_stage *stage, struct fleet_bring **out);
void fleet_stage_cancel(struct fleet_bring *bring); /* NULL is fine */

/* --- Signing what people carry -------------------------------------------- */

/* Who signs, and who hears of it. */
struct fleet_signing {
	const char *who; /* for the audit; read within the call only */
	/* Once, maybe within fleet_sign() or fleet_free().  fault NULL:
	 * enrolled is the message
	 * for the joiner, and name what it is called. */
	void (*done)(void *arg, const struct fault *fault, const char *name,
	    struct bytes enrolled);
	void *arg;
};

/*
 * Let a relay or machine join by its request, as by a token that says what
 * grant says; its lists are taken when it returns RC_OK.  RC_LIMIT, RC_NOMEM:
 * done is not called.
 */
MUST_CHECK enum rc fleet_sign(struct fleet *f,
    const struct join_request *request, const struct fleet_signing *signing,
    struct store_token *grant);

/* --- Changes and views ---------------------------------------------------- */

enum fleet_kind {
	FLEET_MACHINE, /* name: its id */
	FLEET_RELAY,   /* name: its name */
	FLEET_ALL
};

/*
 * Rows of this target were changed, made or deleted (after the commit): read
 * them again, tell the relays, dial and drop links.  Soon, in the background.
 */
void fleet_changed(struct fleet *f, enum fleet_kind kind, const char *name);

struct fleet_machine_state {
	enum store_presence presence;
	char name[NAME_SIZE];
	char route[PATH_SIZE]; /* of the open standing seal; "" without one */
	/* Direct: of the link; else the quickest answer on that seal.  0:
	 * unknown. */
	uint32_t rtt_us;
	uint64_t last_seen_ms;   /* unix time */
	char version[NAME_SIZE]; /* of its tentacle */
	char hold[NAME_SIZE];    /* "", "clone", "journal": no work */
	size_t asks;             /* requests under way */
	struct fault fault;      /* why it is not online; NONE else */
};

struct fleet_relay_state {
	enum store_presence presence; /* online: its control session is open */
	bool linked;                  /* there is a link to it from here */
	char route[PATH_SIZE]; /* of its control session; "" without one */
	uint32_t rtt_us;       /* 0: unknown */
	uint64_t last_seen_ms;
	uint64_t table_seq;  /* newest number it has confirmed */
	uint64_t table_want; /* newest number it shall have */
	char version[NAME_SIZE];
	struct fault fault;
};

/* RC_NOTFOUND. */
MUST_CHECK enum rc fleet_machine_state(const struct fleet *f,
    const char *machine, struct fleet_machine_state *out);
MUST_CHECK enum rc fleet_relay_state(
    const struct fleet *f, const char *relay, struct fleet_relay_state *out);
/* The relay by which it would be reached now; "": by none, or unknown. */
void fleet_machine_hop(
    const struct fleet *f, const char *machine, char out[NAME_SIZE]);
/* Seals of this server that a relay carries now.  Looks at all targets. */
size_t fleet_relay_streams(const struct fleet *f, const char *relay);
/* The routes of a machine (id), one per line, with the state of each hop and
 * the reason when it is not usable.  RC_NOTFOUND, RC_LIMIT, RC_NOMEM. */
MUST_CHECK enum rc fleet_explain(
    const struct fleet *f, const char *machine, struct buf *out);

#endif
