/*
 * archive.h - unpack a package file into an empty directory.
 *
 * Takes tar (plain, gzip, xz, zstd), zip, NuGet's nupkg and npm's tgz; the
 * content decides which.  Nothing is written outside the directory, whatever
 * the archive says: every name is walked component by component without
 * following symbolic links.  Refused: absolute names, "..", symbolic links that
 * lead out, names that pass through a symbolic link, hard links to anything but
 * a file unpacked before, devices, pipes and sockets, names twice, and whatever
 * is above a limit.  Owners, times, ACLs, set-uid and group write bits of the
 * archive are not taken over.
 *
 * Blocking: call it on a worker.  On failure the directory holds what was
 * unpacked so far; remove it.
 */
#ifndef TENTACLE_ARCHIVE_H
#define TENTACLE_ARCHIVE_H

#include "proto/rc.h"
#include "proto/reason.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct unpack_limits {
	uint64_t entries;     /* 200,000 */
	uint64_t total_bytes; /* unpacked: 8 GiB */
	uint64_t ratio;       /* unpacked / packed above 64 MiB: 200 */
	uint64_t name_bytes;  /* of a whole name: 1024 */
	uint64_t depth;       /* directories in a name: 32 */
	uint64_t keep_free;   /* bytes of the disk that stay free: 256 MiB */
};

#define UNPACK_LIMITS_DEFAULT                                                  \
	{                                                                      \
		.entries = 200000, .total_bytes = 8ull << 30, .ratio = 200,    \
		.name_bytes = 1024, .depth = 32, .keep_free = 256ull << 20     \
	}

enum unpack_kind {
	UNPACK_PLAIN, /* as it is */
	UNPACK_NUPKG, /* without the packaging's own files */
	UNPACK_NPM,   /* without the leading "package/" */
};

struct unpack_report {
	enum unpack_kind kind;
	uint64_t entries;
	uint64_t bytes; /* of file content */
};

/*
 * archive_fd (borrowed, regular file, from its start) into dir_fd (borrowed, an
 * empty directory).  *cancel may be set by another thread.  RC_PROTO with
 * REASON_BAD_PACKAGE names the entry and what is wrong with it; RC_LIMIT: a
 * limit, named; RC_IO; RC_STATE with REASON_CANCELLED.
 */
MUST_CHECK enum rc unpack(int archive_fd, int dir_fd,
    const struct unpack_limits *limits, const atomic_bool *cancel,
    struct unpack_report *report, struct fault *fault);

#endif
