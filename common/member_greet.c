#include "common/member_upkeep.h"
#include "common/seal.h"
#include "proto/feature.h"

#include <string.h>

enum rc member_greet(const struct member *m, struct seal *seal,
    uint64_t counter, uint64_t table_version)
{
	struct msg_greet greet = {
		.instance = m->instance,
		.counter = counter,
		.succession = bytes_of(m->succession,
		    m->has_succession ? sizeof(m->succession) : 0),
		.revocations = member_revocations(m),
		.version = bytes_text(LONGARM_VERSION),
		.table_version = table_version,
		.trust = m->trust_number,
		.quarantine = m->quarantine,
		.term = bytes_of(m->term, m->has_term ? TERM_LEN : 0),
	};
	struct bytes names[FEATURE_COUNT];
	struct packbuf pack;
	enum rc rc;

	if (identity_spiffe(m->identity)->role == ROLE_TENTACLE)
		features_list(names, &greet.features);
	memcpy(greet.listen, m->listen, sizeof(greet.listen));
	packbuf_init(&pack, 4096);
	rc = msg_greet_encode(&greet, &pack);
	if (rc == RC_OK)
		rc = seal_send(seal, packbuf_bytes(&pack));
	packbuf_fini(&pack);
	return rc;
}

enum rc member_welcomed(struct member *m, struct seal *seal,
    struct bytes message, struct msg_welcome *welcome, uint64_t counter,
    struct fault *fault)
{
	const struct msg_confirm confirm = { .counter = counter };
	struct packbuf pack;
	enum rc rc = msg_welcome_decode(message, welcome, fault);

	if (rc == RC_OK && welcome->succession.len > 0)
		rc = member_set_succession(m, welcome->succession, fault);
	if (rc == RC_OK)
		rc = member_set_term(m, welcome->term, fault);
	if (rc != RC_OK)
		return rc;
	packbuf_init(&pack, 4096);
	rc = msg_confirm_encode(&confirm, &pack);
	if (rc == RC_OK)
		rc = seal_send(seal, packbuf_bytes(&pack));
	packbuf_fini(&pack);
	if (rc != RC_OK)
		fault_set(fault, REASON_INTERNAL, "", "cannot confirm: %s",
		    rc_name(rc));
	return rc;
}
