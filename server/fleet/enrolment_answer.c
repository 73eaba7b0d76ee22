#include "server/fleet/enrolment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A list of certificates as bytes. */
struct ders {
	uint8_t *der[CERTS_MAX];
	struct bytes items[CERTS_MAX];
	size_t count;
};

static MUST_CHECK enum rc add_ders(
    const struct certs *list, struct ders *ders, struct msg_blob_list *out)
{
	for (size_t i = 0; i < list->count; i++) {
		size_t len;
		enum rc rc = certs_der(list, i, &ders->der[i], &len);

		if (rc != RC_OK)
			return rc;
		ders->items[i] = bytes_of(ders->der[i], len);
		ders->count++;
	}
	*out = (struct msg_blob_list){ ders->items, ders->count };
	return RC_OK;
}

static void free_ders(struct ders *ders)
{
	for (size_t i = 0; i < ders->count; i++)
		free(ders->der[i]);
}

enum rc enrol_encode(const struct enrol_answer *answer, struct packbuf *out)
{
	const struct fleet *f = answer->fleet;
	const struct station *t = answer->station;
	struct msg_peer peers[STORE_ROUTES_MAX + 1];
	struct msg_enrolled m = { .peers = peers };
	struct ders chain = { .count = 0 }, roots = { .count = 0 };
	enum rc rc;

	memcpy(m.id, t->id, sizeof(m.id));
	memcpy(m.name, t->name, sizeof(m.name));
	(void)snprintf(
	    m.cluster, sizeof(m.cluster), "%s", trust_cluster(f->parts.trust));
	m.peer_count = peers_of(t, peers);
	if (answer->succession != NULL)
		m.succession = bytes_of(answer->succession, SUCCESSION_LEN);
	rc = add_ders(answer->chain, &chain, &m.chain);
	if (rc == RC_OK)
		rc = add_ders(f->parts.issuer.roots, &roots, &m.roots);
	if (rc == RC_OK)
		rc = msg_enrolled_encode(&m, out);
	free_ders(&chain);
	free_ders(&roots);
	return rc;
}
