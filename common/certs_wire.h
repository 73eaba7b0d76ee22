/*
 * certs_wire.h - lists of certificates as messages carry them.  Any thread.
 */
#ifndef COMMON_CERTS_WIRE_H
#define COMMON_CERTS_WIRE_H

#include "common/certs.h"
#include "proto/message_enrol.h"

/* The encoded certificates and the list of them; zeroed is empty. */
struct certs_blobs {
	uint8_t *der[CERTS_MAX];
	struct bytes items[CERTS_MAX];
	struct msg_blob_list list; /* points into this struct */
};

/* The first count of them.  certs_blobs_fini() also after a failure. */
MUST_CHECK enum rc certs_to_blobs(
    const struct certs *certs, size_t count, struct certs_blobs *out);
void certs_blobs_fini(struct certs_blobs *blobs);
/* Append hostile ones to a list: errors of certs_add_der(). */
MUST_CHECK enum rc certs_from_blobs(const struct msg_blob_list *blobs,
    struct certs *certs, struct fault *fault);

#endif
