#include "common/certs_wire.h"

#include <stdlib.h>

enum rc certs_to_blobs(
    const struct certs *certs, size_t count, struct certs_blobs *out)
{
	enum rc rc = RC_OK;

	*out = (struct certs_blobs){ .list = { out->items, count } };
	for (size_t i = 0; i < count && rc == RC_OK; i++) {
		size_t len = 0;

		rc = certs_der(certs, i, &out->der[i], &len);
		out->items[i] = bytes_of(out->der[i], len);
	}
	return rc;
}

void certs_blobs_fini(struct certs_blobs *blobs)
{
	for (size_t i = 0; i < CERTS_MAX; i++)
		free(blobs->der[i]);
	*blobs = (struct certs_blobs){ .list = { NULL, 0 } };
}

enum rc certs_from_blobs(
    const struct msg_blob_list *blobs, struct certs *certs, struct fault *fault)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; i < blobs->count && rc == RC_OK; i++)
		rc = certs_add_der(
		    certs, blobs->items[i].p, blobs->items[i].len, fault);
	return rc;
}
