/*
 * pack_dir.h - a directory as a tar.zst whose bytes depend only on names,
 * contents, links and the executable bit: pushed twice it is one package.
 */
#ifndef SERVER_CLI_PACK_DIR_H
#define SERVER_CLI_PACK_DIR_H

#include "proto/reason.h"

#define PACK_DEPTH_MAX   64
#define PACK_ENTRIES_MAX 1000000u

/*
 * Write the archive to the open file fd.  Symbolic links are kept as links;
 * sockets, pipes and devices are refused (RC_PROTO).
 */
MUST_CHECK enum rc pack_dir(const char *dir, int fd, struct fault *fault);

#endif
