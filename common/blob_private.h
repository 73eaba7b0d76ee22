/* blob_private.h - what blob.c and blob_write.c share; for nobody else. */
#ifndef COMMON_BLOB_PRIVATE_H
#define COMMON_BLOB_PRIVATE_H

#include "common/blob.h"

#include <openssl/evp.h>

#define BLOB_NAME_MAX 80 /* of a path within the store, with the NUL */

struct blob_store {
	int dir_fd;
	uint64_t reserve; /* bytes of the disk that stay free */
};

/* Both write BLOB_NAME_MAX bytes at most. */
void blob_name(const struct blob_digest *digest, char *out);
void blob_partial_name(const struct blob_digest *digest, char *out);
/* Feed the whole file to md; *size is what was read. */
MUST_CHECK enum rc blob_hash_fd(EVP_MD_CTX *md, int fd, uint64_t *size);

#endif
