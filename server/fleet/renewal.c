#include "common/certs_wire.h"
#include "common/failpoint.h"
#include "common/log.h"
#include "common/seal.h"
#include "server/fleet/fleet_private.h"
#include "server/store/token.h"

#include <stdlib.h>
#include <string.h>

/*
 * A new certificate is for the key that the peer has proven in the very seal
 * that brings it.  So nothing has to be remembered here: until a relay or
 * machine shows a later one it gets another, and the old one and all the new
 * ones are good side by side.  Whoever is killed in between, and whichever of
 * them is on the disk then: nobody is locked out.
 */

#define PERIOD_MAX_MS (10ULL * 60 * 1000)

static int64_t now_s(void)
{
	return (int64_t)(fleet_wall_ms() / 1000);
}

uint64_t renewal_period_ms(const struct fleet *f)
{
	uint64_t period = (uint64_t)f->settings->certificate_s * 1000 / 40;

	return period < PERIOD_MAX_MS ? period : PERIOD_MAX_MS;
}

/* As it greeted, or took one from us since. */
bool renewal_is_of_another(const struct station *t)
{
	static const uint8_t none[STORE_SHA256_SIZE];

	return memcmp(t->upkeep.authority, none, sizeof(none)) != 0 &&
	       memcmp(t->upkeep.authority, t->fleet->agents_hash,
		   sizeof(t->upkeep.authority)) != 0;
}

bool renewal_is_due(const struct station *t)
{
	const struct fleet *f = t->fleet;
	int64_t life = f->settings->certificate_s, now = now_s();
	int64_t period = (int64_t)(renewal_period_ms(f) / 1000);

	if (renewal_is_of_another(t))
		return true;
	/* Those not seen yet are asked in the end, but not all at the start. */
	if (t->upkeep.not_after_s == 0)
		return now - f->upkeep.started_s > period;
	/* One that is cut short by its authority's end is never good enough. */
	if (now - t->upkeep.renewed_s < life / 4)
		return false;
	return t->upkeep.not_after_s - now <= life / 2;
}

static const struct seal *seal_of(const struct station *t)
{
	const struct way *way;

	if (t->role == ROLE_RELAY)
		return control_seal(t->control);
	way = standing_way(t);
	return way != NULL ? way->seal : NULL;
}

static MUST_CHECK enum rc issue(const struct station *t,
    const struct seal *seal, struct certs *chain, struct fault *fault)
{
	const struct fleet *f = t->fleet;
	const struct ca_request request = {
		.id = seal_peer(seal)->id,
		.key = seal_peer_key(seal),
		/* Clocks differ a little. */
		.now_s = now_s() - TRUST_SKEW_S,
		.life_s = f->settings->certificate_s + TRUST_SKEW_S,
	};

	if (request.key == NULL)
		return RC_STATE;
	return ca_issue(f->parts.issuer.agents, &request, chain, fault);
}

static MUST_CHECK enum rc encode_chain(
    const struct certs *chain, uint32_t id, struct packbuf *out)
{
	struct certs_blobs blobs;
	struct msg_certificate m = { .id = id };
	enum rc rc = certs_to_blobs(chain, chain->count, &blobs);

	m.chain = blobs.list;
	if (rc == RC_OK)
		rc = msg_certificate_encode(&m, out);
	certs_blobs_fini(&blobs);
	return rc;
}

enum rc renewal_encode(
    const struct station *t, uint32_t id, struct packbuf *out)
{
	const struct seal *seal = seal_of(t);
	struct certs chain;
	struct fault fault = { .code = REASON_NONE };
	enum rc rc;

	if (seal == NULL)
		return RC_STATE;
	certs_init(&chain);
	rc = issue(t, seal, &chain, &fault);
	failpoint("certificate.issued");
	if (rc == RC_OK)
		rc = encode_chain(&chain, id, out);
	else
		log_error("fleet", t->name, "no new certificate: %s",
		    fault.code != REASON_NONE ? fault.text : rc_name(rc));
	certs_fini(&chain);
	return rc;
}

/* --- When, for those that come late ----------------------------------------
 */

struct renewed_job {
	struct fleet_job base;
	uint8_t spki[STORE_SHA256_SIZE];
	uint64_t at_ms;
};

static enum rc write_renewed(struct db *db, struct store_job *job)
{
	const struct renewed_job *r =
	    CONTAINER_OF(job, struct renewed_job, base.job);
	enum rc rc = store_enrolment_renewed(db, r->spki, r->at_ms);

	return rc == RC_NOTFOUND ? RC_OK : rc; /* the row is made anew then */
}

static void drop(struct fleet_job *job)
{
	free(CONTAINER_OF(job, struct renewed_job, base));
}

static void wrote(struct fleet_job *job, enum rc rc)
{
	if (rc != RC_OK)
		log_warn(
		    "fleet", "", "a renewal is not noted: %s", rc_name(rc));
	drop(job);
}

/* Not noted, it may come back by itself a little less late: no harm. */
static void note(const struct station *t)
{
	struct renewed_job *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return;
	r->base.done = wrote;
	r->base.drop = drop;
	r->at_ms = fleet_wall_ms();
	memcpy(r->spki, t->spki, sizeof(r->spki));
	if (fleet_submit(t->fleet, &r->base, write_renewed) != RC_OK)
		drop(&r->base);
}

enum rc renewal_answered(
    struct station *t, struct bytes message, struct fault *why)
{
	struct msg_certificate_reply reply;
	enum rc rc = msg_certificate_reply_decode(message, &reply, why);

	if (rc != RC_OK)
		return rc;
	if (reply.reply.fault.code != REASON_NONE) {
		*why = reply.reply.fault;
		rc = RC_DENIED;
	} else {
		failpoint("certificate.confirmed");
		t->upkeep.not_after_s = (int64_t)reply.not_after_s;
		t->upkeep.renewed_s = now_s();
		memcpy(t->upkeep.authority, t->fleet->agents_hash,
		    sizeof(t->upkeep.authority));
		trust_note(t);
		log_info("fleet", t->name, "has a new certificate");
		note(t);
	}
	msg_certificate_reply_clear(&reply);
	return rc;
}
