#include "common/log.h"
#include "proto/lenframe.h"
#include "server/fleet/fleet_private.h"
#include "server/store/rotation.h"

#include <stdlib.h>
#include <string.h>

/* --- What the node is and signs by -----------------------------------------
 */

/* Lists that the old ones signed count for nobody who has heard of it. */
static void sign_anew(struct fleet *f)
{
	for (unsigned i = 0; i < REVOKED_COUNT; i++)
		f->upkeep.number[i] = 0;
	fleet_changed(f, FLEET_ALL, "");
}

enum rc fleet_take_issuer(struct fleet *f, const struct fleet_issuer *issuer)
{
	uint8_t hash[STORE_SHA256_SIZE];
	uint8_t *bundle = malloc(issuer->bundle.len + 1);
	enum rc rc = RC_NOMEM;

	if (bundle != NULL)
		rc = certs_key_hash(ca_chain(issuer->agents)->cert[0], hash);
	if (rc != RC_OK) {
		free(bundle);
		return rc;
	}
	if (issuer->bundle.len > 0)
		memcpy(bundle, issuer->bundle.p, issuer->bundle.len);
	free(f->bundle);
	f->bundle = bundle;
	f->parts.issuer = *issuer;
	f->parts.issuer.bundle = bytes_of(bundle, issuer->bundle.len);
	memcpy(f->agents_hash, hash, sizeof(hash));
	return RC_OK;
}

enum rc fleet_set_issuer(
    struct fleet *f, const struct fleet_issuer *issuer, struct fault *fault)
{
	struct tls_contexts *contexts = NULL;
	enum rc rc = tls_contexts_new(
	    f->parts.identity, f->parts.trust, &contexts, fault);

	if (rc == RC_OK)
		rc = fleet_take_issuer(f, issuer);
	if (rc != RC_OK) {
		tls_contexts_unref(contexts);
		return rc;
	}
	tls_contexts_unref(f->contexts);
	f->contexts = contexts;
	link_net_set_contexts(f->net, contexts);
	if (issuer->renewed)
		link_net_renewed(f->net);
	link_net_recheck(f->net);
	sign_anew(f);
	f->upkeep.soon = true;
	loop_timer_set(f->upkeep.walk, 0);
	return RC_OK;
}

/* --- The trust bundle ------------------------------------------------------
 */

enum rc trust_push_encode(
    const struct station *t, uint32_t id, struct packbuf *out)
{
	const struct msg_trust m = {
		.id = id,
		.bundle = t->fleet->parts.issuer.bundle,
	};

	return msg_trust_encode(&m, out);
}

enum rc trust_push_answered(
    struct station *t, struct bytes message, struct fault *why)
{
	const struct fleet *f = t->fleet;
	struct msg_trust_reply reply;
	enum rc rc = msg_trust_reply_decode(message, &reply, why);

	if (rc != RC_OK)
		return rc;
	if (reply.reply.fault.code != REASON_NONE) {
		*why = reply.reply.fault;
		rc = RC_DENIED;
	} else if (reply.number < f->parts.issuer.bundle_number) {
		fault_set(
		    why, REASON_INTERNAL, "", "it holds an older trust bundle");
		rc = RC_DENIED;
	} else {
		t->upkeep.trust = reply.number;
		trust_note(t);
	}
	msg_trust_reply_clear(&reply);
	return rc;
}

/* --- Its row ---------------------------------------------------------------
 */

struct note_job {
	struct fleet_job base;
	struct store_member_trust row;
};

static enum rc write_note(struct db *db, struct store_job *job)
{
	const struct note_job *n = CONTAINER_OF(job, struct note_job, base.job);

	return store_member_trust_set(db, &n->row);
}

static void drop(struct fleet_job *job)
{
	free(CONTAINER_OF(job, struct note_job, base));
}

static void noted(struct fleet_job *job, enum rc rc)
{
	if (rc != RC_OK)
		log_warn("fleet", "", "who trusts what is not noted: %s",
		    rc_name(rc));
	drop(job);
}

/* Not noted, it counts as missing until it greets again. */
void trust_note(struct station *t)
{
	struct station_upkeep *u = &t->upkeep;
	struct note_job *n;

	if (u->noted && u->noted_trust == u->trust &&
	    memcmp(u->noted_authority, u->authority, sizeof(u->authority)) == 0)
		return;
	n = calloc(1, sizeof(*n));
	if (n == NULL)
		return;
	u->noted = true;
	u->noted_trust = u->trust;
	memcpy(u->noted_authority, u->authority, sizeof(u->authority));
	n->base.done = noted;
	n->base.drop = drop;
	n->row.role =
	    t->role == ROLE_RELAY ? STORE_ROLE_RELAY : STORE_ROLE_TENTACLE;
	memcpy(n->row.id, t->id, sizeof(n->row.id));
	n->row.bundle = t->upkeep.trust;
	memcpy(n->row.authority, t->upkeep.authority, sizeof(n->row.authority));
	n->row.at_ms = fleet_wall_ms();
	if (fleet_submit(t->fleet, &n->base, write_note) == RC_OK)
		return;
	u->noted = false;
	drop(&n->base);
}
