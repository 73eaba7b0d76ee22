/*
 * install.h - versions of a package on this machine, and which one is live.
 *
 *     APPS/PROJECT/PACKAGE/versions/VERSION-DEPLOYMENT/   one tree each
 *     APPS/PROJECT/PACKAGE/current  -> versions/...       the live one
 *     APPS/PROJECT/PACKAGE/previous -> versions/...       the one before it
 *
 * A tree is built under another name and gets its own when it is complete and
 * on the disk; a link is replaced by rename.  So each step can be done again
 * after a crash, and `current` always points to a whole tree.  Directories are
 * 0755: what runs there need not be us.
 *
 * All functions block on the disk.  One thread at a time.
 */
#ifndef TENTACLE_INSTALL_H
#define TENTACLE_INSTALL_H

#include "tentacle/archive.h"
#include "tentacle/configure.h"

#define INSTALL_KEEP_DEFAULT 3

struct install_id {
	const char *project, *package, *version;
	uint64_t deployment;
};

struct install; /* one version, on its way or there; opaque */

/* RC_PROTO: a name is not one.  Makes the directories above it. */
MUST_CHECK enum rc install_open(const char *apps, const struct install_id *id,
    struct install **out, struct fault *fault);
void install_close(struct install *i); /* NULL is fine */

/* Where the tree is, once complete.  Absolute when APPS is. */
const char *install_dir(const struct install *i);
/* The version that was live before; "" when there was none. */
const char *install_previous_dir(const struct install *i);

/* What a tree is made of; all borrowed. */
struct install_source {
	int archive_fd;
	const struct unpack_limits *limits;
	const struct bytes *patterns; /* of files to configure */
	size_t pattern_count;
	const struct configure_values *values;
	const atomic_bool *cancel;
};

/*
 * Unpack, configure, sync, name.  A tree that is live already is left as it is
 * (*report is zero then); one left over from an attempt before is made anew.
 */
MUST_CHECK enum rc install_build(struct install *i,
    const struct install_source *from, struct unpack_report *report,
    struct fault *fault);
/* Make it live.  RC_NOTFOUND: there is no tree.  Idempotent. */
MUST_CHECK enum rc install_switch(struct install *i, struct fault *fault);
/* Make the one before live again; without one, none is. */
MUST_CHECK enum rc install_switch_back(struct install *i, struct fault *fault);
/*
 * Keep this many versions besides the live one, newest deployments first;
 * remove the others, but never the live one or the one before it.
 */
MUST_CHECK enum rc install_prune(
    struct install *i, uint32_t keep, struct fault *fault);

/* The live tree of a package.  RC_NOTFOUND: none. */
MUST_CHECK enum rc install_live_dir(const char *apps, const char *project,
    const char *package, char *out, size_t size, struct fault *fault);

#endif
