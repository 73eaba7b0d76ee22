#include "common/member_upkeep.h"

#include "common/certs_wire.h"
#include "common/clock.h"
#include "common/failpoint.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/seal.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

static const char *const list_files[REVOKED_COUNT] = {
	[REVOKED_AGENTS] = "revoked-agents",
	[REVOKED_NODES] = "revoked-nodes",
};

static int64_t now_s(void)
{
	return clock_wall_ms() / 1000;
}

/* --- Lists of revoked keys -------------------------------------------------
 */

static void load_list(struct member *m, enum revocation_kind kind)
{
	char path[FS_PATH_MAX];
	enum revocation_kind found;
	uint8_t *data = NULL;
	size_t len = 0;
	bool changed;
	struct fault fault = { .code = REASON_NONE };
	enum rc rc = fs_join(path, sizeof(path), m->dir, list_files[kind]);

	if (rc == RC_OK)
		rc = fs_read_file(
		    path, REVOKED_SIGNED_MAX + 65536, &data, &len, &fault);
	if (rc == RC_NOTFOUND)
		return;
	if (rc == RC_OK)
		rc = revocation_book_take(&m->book, m->trust,
		    &(struct revocation_take){
			bytes_of(data, len), now_s(), &changed },
		    &found, &fault);
	free(data);
	if (rc != RC_OK)
		log_warn("member", m->name,
		    "%s is not used (%s); a server tells it again", path,
		    fault.text);
}

void member_load_revoked(struct member *m)
{
	for (unsigned i = 0; i < REVOKED_COUNT; i++)
		load_list(m, (enum revocation_kind)i);
}

static void empty_inbox(struct member_inbox *inbox)
{
	free(inbox->data);
	*inbox = (struct member_inbox){ .data = NULL };
}

void member_upkeep_fini(struct member *m)
{
	for (unsigned i = 0; i < REVOKED_COUNT; i++)
		empty_inbox(&m->inbox[i]);
	revocation_book_fini(&m->book);
}

struct msg_revocations member_revocations(const struct member *m)
{
	return (struct msg_revocations){
		.agents = m->book.held[REVOKED_AGENTS].number,
		.nodes = m->book.held[REVOKED_NODES].number,
	};
}

/* RC_OK: the list is whole; RC_AGAIN: more pieces are to come. */
static MUST_CHECK enum rc take_piece(struct member_inbox *inbox,
    const struct msg_revoked *piece, struct fault *fault)
{
	if (piece->offset == 0) {
		empty_inbox(inbox);
		inbox->data = malloc((size_t)piece->size);
		if (inbox->data == NULL)
			return RC_NOMEM;
		inbox->number = piece->number;
		inbox->size = (size_t)piece->size;
	}
	if (inbox->data == NULL || inbox->number != piece->number ||
	    inbox->size != piece->size || inbox->have != piece->offset) {
		fault_set(fault, REASON_CONFLICT, "",
		    "a piece of the list of revoked keys is missing");
		empty_inbox(inbox);
		return RC_STATE;
	}
	memcpy(inbox->data + inbox->have, piece->piece.p, piece->piece.len);
	inbox->have += piece->piece.len;
	return inbox->have == inbox->size ? RC_OK : RC_AGAIN;
}

/* It counts from now on, also when the disk does not take it: then the server
 * is told so, and tells it again. */
static MUST_CHECK enum rc take_list(struct member *m,
    const struct member_inbox *inbox, bool *changed, struct fault *fault)
{
	struct bytes list = bytes_of(inbox->data, inbox->size);
	char path[FS_PATH_MAX];
	enum revocation_kind kind = REVOKED_AGENTS;
	enum rc rc = revocation_book_take(&m->book, m->trust,
	    &(struct revocation_take){ list, now_s(), changed }, &kind, fault);

	if (rc == RC_STATE)
		return RC_OK; /* the reply tells which one is known */
	if (rc != RC_OK)
		return rc;
	rc = fs_join(path, sizeof(path), m->dir, list_files[kind]);
	if (rc == RC_OK && !m->follows)
		rc = fs_write_atomic(path, list.p, list.len, 0600, fault);
	return rc;
}

enum rc member_revoked(struct member *m, const struct msg_revoked *piece,
    bool *changed, struct fault *fault)
{
	struct member_inbox *inbox = &m->inbox[piece->list];
	enum rc rc = take_piece(inbox, piece, fault);

	*changed = false;
	if (rc == RC_AGAIN)
		return RC_OK;
	if (rc == RC_OK)
		rc = take_list(m, inbox, changed, fault);
	empty_inbox(inbox);
	if (rc == RC_NOMEM)
		fault_set(fault, REASON_MEMORY, "", "out of memory");
	return rc;
}

/* --- Requests of servers ---------------------------------------------------
 */

static MUST_CHECK enum rc answer(
    struct seal *seal, enum rc encoded, struct packbuf *pack)
{
	enum rc rc = encoded;

	if (rc == RC_OK && seal != NULL)
		rc = seal_send(seal, packbuf_bytes(pack));
	packbuf_fini(pack);
	return rc;
}

static MUST_CHECK enum rc on_revoked(
    const struct member_user *u, struct bytes message, struct fault *fault)
{
	struct member *m = u->member;
	struct msg_revoked piece;
	struct msg_revoked_reply reply = { .reply.id = 0 };
	struct packbuf pack;
	bool changed = false;
	enum rc rc = msg_revoked_decode(message, &piece, fault);

	if (rc != RC_OK)
		return rc;
	rc = member_revoked(m, &piece, &changed, &reply.reply.fault);
	if (rc == RC_OK)
		fault_clear(&reply.reply.fault);
	else
		log_warn("member", m->name, "list of revoked keys: %s",
		    reply.reply.fault.text);
	if (changed && !m->follows)
		log_info_with("member", m->name,
		    LOG_FIELDS(
			LOG_TEXT("list", revocation_kind_name(piece.list)),
			LOG_NUMBER("number", (int64_t)piece.number)),
		    "keys were revoked");
	if (changed)
		link_net_recheck(u->net);
	reply.reply.id = piece.id;
	reply.revocations = member_revocations(m);
	msg_revoked_clear(&piece);
	packbuf_init(&pack, 4096);
	return answer(u->seal, msg_revoked_reply_encode(&reply, &pack), &pack);
}

static MUST_CHECK enum rc take_chain(const struct msg_certificate *message,
    struct member *m, bool *changed, struct fault *fault)
{
	struct certs chain;
	enum rc rc;

	certs_init(&chain);
	rc = certs_from_blobs(&message->chain, &chain, fault);
	if (rc == RC_OK)
		rc = member_renew(m, &chain, now_s(), changed, fault);
	certs_fini(&chain);
	return rc;
}

static MUST_CHECK enum rc on_certificate(
    const struct member_user *u, struct bytes message, struct fault *fault)
{
	struct member *m = u->member;
	struct msg_certificate certificate;
	struct msg_certificate_reply reply = { .reply.id = 0 };
	struct packbuf pack;
	bool changed = false;
	enum rc rc = msg_certificate_decode(message, &certificate, fault);

	if (rc != RC_OK)
		return rc;
	fault_set(&reply.reply.fault, REASON_INTERNAL, "", "out of memory");
	failpoint("certificate.received");
	rc = take_chain(&certificate, m, &changed, &reply.reply.fault);
	/* Links and seals from now on; those that are open stay for a while. */
	if (changed) {
		link_net_set_contexts(u->net, m->contexts);
		link_net_renewed(u->net);
	}
	if (rc == RC_OK)
		fault_clear(&reply.reply.fault);
	else
		log_warn("member", m->name,
		    "a new certificate is not taken: %s",
		    reply.reply.fault.text);
	failpoint("certificate.kept");
	reply.reply.id = certificate.id;
	reply.not_after_s = (uint64_t)identity_not_after_s(m->identity);
	msg_certificate_clear(&certificate);
	packbuf_init(&pack, 4096);
	return answer(
	    u->seal, msg_certificate_reply_encode(&reply, &pack), &pack);
}

static MUST_CHECK enum rc on_trust(
    const struct member_user *u, struct bytes message, struct fault *fault)
{
	struct member *m = u->member;
	struct msg_trust trust;
	struct msg_trust_reply reply = { .reply.id = 0 };
	struct packbuf pack;
	bool changed = false;
	enum rc rc = msg_trust_decode(message, &trust, fault);

	if (rc != RC_OK)
		return rc;
	fault_set(&reply.reply.fault, REASON_INTERNAL, "", "out of memory");
	rc = member_take_trust(m, trust.bundle, &changed, &reply.reply.fault);
	if (changed) {
		link_net_set_contexts(u->net, m->contexts);
		link_net_recheck(u->net);
	}
	if (rc == RC_OK)
		fault_clear(&reply.reply.fault);
	else
		log_warn("member", m->name, "a trust bundle is not taken: %s",
		    reply.reply.fault.text);
	reply.reply.id = trust.id;
	reply.number = m->trust_number;
	msg_trust_clear(&trust);
	packbuf_init(&pack, 4096);
	return answer(u->seal, msg_trust_reply_encode(&reply, &pack), &pack);
}

/* --- Peers ----------------------------------------------------------------
 */

static const struct msg_peer *known_peer(
    const struct member *m, const struct msg_peer *peer)
{
	for (size_t i = 0; i < m->peer_count; i++) {
		if (m->peers[i].role == peer->role &&
		    strcmp(m->peers[i].name, peer->name) == 0)
			return &m->peers[i];
	}
	return NULL;
}

static bool same_peers(
    const struct member *m, const struct msg_peer *peers, size_t count)
{
	for (size_t i = 0; i < count && i < m->peer_count; i++) {
		if (m->peers[i].role != peers[i].role ||
		    strcmp(m->peers[i].name, peers[i].name) != 0 ||
		    strcmp(m->peers[i].endpoint, peers[i].endpoint) != 0)
			return false;
	}
	return count == m->peer_count;
}

enum rc member_take_peers(struct member *m, const struct msg_peers *message,
    uint32_t *undialled, bool *changed, struct fault *fault)
{
	struct msg_peer *peers = calloc(PEERS_MAX, sizeof(*peers));
	enum rc rc = RC_OK;

	*undialled = 0;
	*changed = false;
	fault_set(fault, REASON_MEMORY, "", "out of memory");
	if (peers == NULL)
		return RC_NOMEM;
	for (size_t i = 0; i < message->peer_count; i++) {
		const struct msg_peer *known =
		    known_peer(m, &message->peers[i]);

		peers[i] = message->peers[i];
		if (peers[i].endpoint[0] != '\0' || !peers[i].dial)
			continue;
		if (known != NULL)
			memcpy(peers[i].endpoint, known->endpoint,
			    sizeof(peers[i].endpoint));
		if (peers[i].endpoint[0] == '\0')
			(*undialled)++;
	}
	*changed = !same_peers(m, peers, message->peer_count);
	if (*changed)
		rc = member_set_peers(m, peers, message->peer_count, fault);
	free(peers);
	return rc;
}

static MUST_CHECK enum rc on_peers(
    const struct member_user *u, struct bytes message, struct fault *fault)
{
	struct member *m = u->member;
	struct msg_peers peers;
	struct msg_peers_reply reply = { .reply.id = 0 };
	struct packbuf pack;
	bool changed = false;
	enum rc rc = msg_peers_decode(message, &peers, fault);

	if (rc != RC_OK)
		return rc;
	rc = member_take_peers(
	    m, &peers, &reply.undialled, &changed, &reply.reply.fault);
	reply.reply.id = peers.id;
	msg_peers_clear(&peers);
	if (rc == RC_OK)
		fault_clear(&reply.reply.fault);
	else
		log_error("member", m->name, "peers are not kept: %s",
		    reply.reply.fault.text);
	if (rc == RC_OK && changed && !m->follows)
		log_info_with("member", m->name,
		    LOG_FIELDS(LOG_NUMBER("peers", (int64_t)m->peer_count)),
		    "peers");
	if (rc == RC_OK && changed && u->peers_changed != NULL)
		loop_timer_set(u->peers_changed, 0);
	if (reply.reply.id == 0)
		return RC_OK; /* no reply is wanted */
	packbuf_init(&pack, 4096);
	return answer(u->seal, msg_peers_reply_encode(&reply, &pack), &pack);
}

enum rc member_upkeep(const struct member_user *u, const struct msg_head *head,
    struct bytes message, struct fault *fault)
{
	if (!head->is_reply && head->op == OP_REVOKED)
		return on_revoked(u, message, fault);
	if (!head->is_reply && head->op == OP_CERTIFICATE)
		return on_certificate(u, message, fault);
	if (!head->is_reply && head->op == OP_TRUST)
		return on_trust(u, message, fault);
	if (!head->is_reply && head->op == OP_PEERS)
		return on_peers(u, message, fault);
	return RC_NOTFOUND;
}
