/*
 * member.h - a relay or tentacle that has joined a cluster: what it keeps on
 * disk about who it is.
 *
 *     DIR/identity/    key, certificate, roots (common/identity.h)
 *     DIR/member       display name, journal id, start number
 *     DIR/succession   the token that proves the next start is no copy's
 *     DIR/peers        nodes and relays that it may dial, one per line
 *     DIR/revoked-*    the newest lists of revoked keys
 *     DIR/trust        the newest trust bundle
 * (common/member_upkeep.h)
 *
 * Every file is replaced whole and synced.  One lock keeps a second process
 * out.  Loop's thread.
 */
#ifndef COMMON_MEMBER_H
#define COMMON_MEMBER_H

#include "common/identity.h"
#include "common/revocation_list.h"
#include "common/tls.h"
#include "common/trust.h"
#include "proto/hello.h"
#include "proto/message_enrol.h"
#include "proto/message_seal.h"

/* A list of revoked keys that comes in pieces. */
struct member_inbox {
	uint8_t *data; /* owned; NULL: none is coming */
	uint64_t number;
	size_t size, have;
};

struct member {
	char dir[1024];
	int lock_fd;
	/* Another process keeps the files: nothing is written here.  Set after
	 * member_look(). */
	bool follows;
	struct identity *identity;
	bool unsaved; /* its certificate is newer than the one on the disk */
	uint64_t trust_number; /* of the newest trust bundle; 0: none */
	bool trust_unsaved;    /* the one on the disk is older */
	struct trust *trust;
	struct tls_contexts *contexts;
	char name[NAME_SIZE]; /* as people call it */
	/* A relay's: where those behind it dial it, as its settings say. */
	char listen[ENDPOINT_SIZE];
	struct msg_instance instance;
	bool quarantine; /* a tentacle's journal cannot be read */
	char boot_id[ID_SIZE];
	bool has_succession;
	uint8_t succession[SUCCESSION_LEN];
	/* The newest term of a server that it was told; no secret. */
	bool has_term;
	uint8_t term[TERM_LEN];
	struct msg_peer *peers;
	size_t peer_count;
	struct revocation_book book; /* what trust refuses */
	struct member_inbox inbox[REVOKED_COUNT];
};

/* What enrolment brings; all borrowed. */
struct member_new {
	const struct identity *identity; /* enrolled */
	const char *name;
	struct bytes succession; /* may be empty */
	const struct msg_peer *peers;
	size_t peer_count;
};

/* Is there an identity in dir? */
bool member_exists(const char *dir);
/* Write all files; dir is made when missing. */
MUST_CHECK enum rc member_create(
    const char *dir, const struct member_new *n, struct fault *fault);
/*
 * Load, lock, and begin a new life: the start number is raised on disk first.
 * RC_NOTFOUND: not joined yet; RC_EXISTS: another process runs on dir.
 */
MUST_CHECK enum rc member_open(
    const char *dir, struct member **out, struct fault *fault);
/* The same without a new life and without the lock: for `status`, `leave`. */
MUST_CHECK enum rc member_look(
    const char *dir, struct member **out, struct fault *fault);
/*
 * Begin another life in the same process: somebody holds that a later one than
 * ours is there.  It shows the same succession token, and the server decides.
 */
MUST_CHECK enum rc member_begin_again(struct member *m, struct fault *fault);
void member_close(struct member *m); /* NULL is fine */
/* Forget the cluster: removes all of the above, and only that. */
MUST_CHECK enum rc member_remove(const char *dir, struct fault *fault);

const char *member_cluster(const struct member *m);
/*
 * Take a later certificate for the key that we have: on disk, and in
 * m->contexts, which is a new object then (*changed).  Not later than the one
 * that we have: RC_OK, nothing changes.  RC_DENIED, RC_CRYPTO: it is not for
 * us, or not good now; RC_IO and others: it is not on the disk (yet).  *fault.
 */
MUST_CHECK enum rc member_renew(struct member *m, const struct certs *chain,
    int64_t now_s, bool *changed, struct fault *fault);
/*
 * Take a signed trust bundle (common/trust_bundle.h) that is newer than ours:
 * on disk, in m->trust and in m->contexts, which is a new object then
 * (*changed).  RC_OK also when ours is as new.  RC_DENIED: not signed by a root
 * that we trust, or it would not believe our own certificate; others as above.
 */
MUST_CHECK enum rc member_take_trust(
    struct member *m, struct bytes bytes, bool *changed, struct fault *fault);
/* The id in our certificate: machine id or relay name. */
const char *member_id(const struct member *m);

/* On the disk when it returns; the one that is there already costs nothing. */
MUST_CHECK enum rc member_set_term(
    struct member *m, struct bytes term, struct fault *fault);
MUST_CHECK enum rc member_set_succession(
    struct member *m, struct bytes token, struct fault *fault);
MUST_CHECK enum rc member_set_peers(struct member *m,
    const struct msg_peer *peers, size_t count, struct fault *fault);
/* Is this neighbour among the peers? */
bool member_has_peer(
    const struct member *m, enum peer_role role, const char *name);

/* Fill instance, boot id and numbers of revocations of a HELLO. */
void member_hello(const struct member *m, struct msg_hello *hello);
/* Encode and send the greet of a seal; counter: of the journal. */
struct seal;
MUST_CHECK enum rc member_greet(const struct member *m, struct seal *seal,
    uint64_t counter, uint64_t table_version);
/*
 * Take a welcome: keeps a new succession token, answers confirm.  *welcome
 * borrows from message.
 */
MUST_CHECK enum rc member_welcomed(struct member *m, struct seal *seal,
    struct bytes message, struct msg_welcome *welcome, uint64_t counter,
    struct fault *fault);

#endif
