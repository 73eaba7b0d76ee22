/*
 * enrolment.h - what enrolment.c (one joiner, its stream and its certificate)
 * and enrolment_rows.c (what becomes of it in the store) share.
 */
#ifndef SERVER_FLEET_ENROLMENT_H
#define SERVER_FLEET_ENROLMENT_H

#include "server/fleet/fleet_private.h"
#include "server/store/token.h"

/* Values in and out; on the loop, then on the SQL thread, never on both. */
struct enrol_rows {
	/* In: who asks. */
	char token_id[STORE_TOKEN_ID_SIZE];
	bool has_secret;
	uint8_t secret[ENROL_SECRET_LEN];
	enum peer_role role; /* relay or tentacle */
	uint8_t key_hash[STORE_SHA256_SIZE];
	char hostname[MSG_TEXT_MAX + 1];
	char version[NAME_SIZE];
	char listen[ENDPOINT_SIZE]; /* may be empty */
	char address[ADDRESS_TEXT_MAX];
	struct path path; /* the relays to it, as the server sees them */
	uint64_t now_ms;
	/* Not NULL: an operator signs a file, and this is what a token would
	 * say.  Its lists are taken. */
	struct store_token *grant;
	char who[STORE_WHO_SIZE]; /* that operator */
	/* Out: it waits for a person, and what for. */
	bool waits;
	char waits_as[NAME_SIZE];
	/* Out: who it is now. */
	bool again; /* this key had joined before */
	struct store_machine machine;
	struct store_instance instance;
	struct store_relay relay;
	bool has_succession;
	uint8_t succession[SUCCESSION_LEN];
	struct fault fault;
};

/* What a joiner is told in the end. */
struct enrol_answer {
	const struct fleet *fleet;
	const struct station *station; /* what it is now */
	const struct certs *chain;
	const uint8_t *succession; /* SUCCESSION_LEN; NULL: it keeps its own */
};
MUST_CHECK enum rc enrol_encode(
    const struct enrol_answer *answer, struct packbuf *out);

/* On the SQL thread: find or make its row.  RC_DENIED and others: the fault
 * says why it may not join. */
MUST_CHECK enum rc enrol_write_rows(struct db *db, struct enrol_rows *rows);
/*
 * May this key join?  *token is what it may become; rows->waits: not yet.  The
 * caller clears *token in any case.
 */
MUST_CHECK enum rc enrol_admit(
    struct db *db, struct enrol_rows *rows, struct store_token *token);
/* The same for a key that joined as name, and was away for too long. */
MUST_CHECK enum rc enrol_admit_late(
    struct db *db, struct enrol_rows *rows, const char *name);
/* Whatever a host calls itself becomes a name that we allow. */
void enrol_base_name(const char *hostname, char out[NAME_SIZE]);
/* Wipe the secret, free what is on the heap. */
void enrol_rows_fini(struct enrol_rows *rows);

#endif
