/*
 * blob.h - files named by the SHA-256 of their content.
 *
 *     DIR/ab/cdef...            whole and verified, 0600
 *     DIR/partial/abcdef...     being written; survives restarts, resumed at
 *                               its length
 *
 * Functions block on the disk.  A store may be used by several threads; one
 * writer belongs to one thread at a time, and one digest has one writer.
 */
#ifndef COMMON_BLOB_H
#define COMMON_BLOB_H

#include "proto/rc.h"
#include "proto/reason.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BLOB_DIGEST_LEN 32
#define BLOB_HEX_MAX    (2 * BLOB_DIGEST_LEN + 1) /* with the NUL */

struct blob_digest {
	uint8_t bytes[BLOB_DIGEST_LEN];
};

struct blob_store;
struct blob_writer;

MUST_CHECK enum rc blob_digest_of(
    const void *data, size_t len, struct blob_digest *out);
/* Of an open file from its start; the file position is not used. */
MUST_CHECK enum rc blob_digest_of_fd(
    int fd, struct blob_digest *out, uint64_t *size);
/* out has BLOB_HEX_MAX bytes. */
void blob_digest_format(const struct blob_digest *digest, char *out);
/* 64 lower-case hexadecimal digits, else RC_PROTO. */
MUST_CHECK enum rc blob_digest_parse(const char *text, struct blob_digest *out);
bool blob_digest_equal(
    const struct blob_digest *a, const struct blob_digest *b);

/* Makes dir (0700) when it is missing. */
MUST_CHECK enum rc blob_store_open(
    const char *dir, struct blob_store **out, struct fault *fault);
void blob_store_close(struct blob_store *store);
/* Keep at least this many bytes of the disk free (default 64 MiB). */
void blob_store_set_reserve(struct blob_store *store, uint64_t bytes);

bool blob_has(const struct blob_store *store, const struct blob_digest *digest);
/* RC_NOTFOUND: not (wholly) there.  *fd is read only and the caller's. */
MUST_CHECK enum rc blob_open(const struct blob_store *store,
    const struct blob_digest *digest, int *fd, uint64_t *size);
MUST_CHECK enum rc blob_size(const struct blob_store *store,
    const struct blob_digest *digest, uint64_t *size);
/* RC_OK also when there is none; a partial one goes too. */
MUST_CHECK enum rc blob_delete(
    struct blob_store *store, const struct blob_digest *digest);
/* Read it all again.  RC_CRYPTO: rotten; it stays, delete it. */
MUST_CHECK enum rc blob_verify(
    const struct blob_store *store, const struct blob_digest *digest);

/*
 * Begin or resume the blob digest, of size bytes in all.  RC_EXISTS: it is
 * there, nothing to write.  RC_STATE: another writer has it.  RC_IO with
 * REASON_NO_SPACE: the rest would not leave the reserve.
 */
MUST_CHECK enum rc blob_write_begin(struct blob_store *store,
    const struct blob_digest *digest, uint64_t size, struct blob_writer **out,
    struct fault *fault);
/* A new blob whose digest finish() tells; nothing to resume.  At most limit
 * bytes. */
MUST_CHECK enum rc blob_write_new(struct blob_store *store, uint64_t limit,
    struct blob_writer **out, struct fault *fault);
/* Bytes already there: the offset to ask for next. */
uint64_t blob_writer_offset(const struct blob_writer *w);
/*
 * Bytes before the writer's offset are skipped (a repeated piece is fine).
 * RC_STATE: a gap; RC_LIMIT: beyond size; RC_IO.
 */
MUST_CHECK enum rc blob_write_at(struct blob_writer *w, uint64_t offset,
    const void *data, size_t len, struct fault *fault);
/*
 * Sync, verify, give it its name; digest and size may be NULL.  RC_STATE:
 * bytes are missing, go on writing.  RC_CRYPTO: other content than promised;
 * the partial file is gone, begin again.  blob_writer_free() follows anyway.
 */
MUST_CHECK enum rc blob_write_finish(struct blob_writer *w,
    struct blob_digest *digest, uint64_t *size, struct fault *fault);
/* What is not finished stays to be resumed (blob_write_new(): is removed). */
void blob_writer_free(struct blob_writer *w);

/* Copy a file in.  Skips the copy when the content is there. */
MUST_CHECK enum rc blob_import(struct blob_store *store, int fd,
    struct blob_digest *digest, uint64_t *size, struct fault *fault);
/* It is used now: blob_shrink() goes by when that was last. */
void blob_touch(
    const struct blob_store *store, const struct blob_digest *digest);

struct blob_budget {
	uint64_t bytes;   /* whole blobs may have together */
	uint64_t age_s;   /* not used for so long: they go in any case */
	uint64_t young_s; /* used since: they stay in any case */
	const struct blob_digest *keep; /* and these, however old */
	size_t keep_count;
};

struct blob_shrunk {
	uint64_t count, bytes; /* removed */
	uint64_t left;         /* bytes */
};

/* Remove whole blobs, those used longest ago first, until they are within the
 * budget.  Readers that have one open keep it. */
MUST_CHECK enum rc blob_shrink(struct blob_store *store,
    const struct blob_budget *budget, struct blob_shrunk *out);
/* Remove partial files not touched for max_age_s seconds. */
void blob_prune(struct blob_store *store, uint64_t max_age_s);

#endif
