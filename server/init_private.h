/* init_private.h - what init.c and init_keys.c share.  Not for others. */
#ifndef SERVER_INIT_PRIVATE_H
#define SERVER_INIT_PRIVATE_H

#include "common/ca.h"
#include "common/wrap.h"
#include "server/init.h"

struct making {
	const struct init_request *request;
	const struct server_settings *settings;
	struct init_report report;
	struct fault *fault;
	int64_t now_s;
	struct ca *root, *agents, *nodes;
	struct wrap_key master;
	char http_port[8];
	const char *names[CA_HTTPS_NAMES_MAX];
	size_t name_count;
	char host[HOST_SIZE];
};

/* Write one file of the state directory, 0600. */
MUST_CHECK enum rc init_write(
    struct making *m, const char *name, const void *data, size_t len);
/* ca/, node/, https/, master.key and node.id; the authorities stay in m. */
MUST_CHECK enum rc init_make_keys(struct making *m);

#endif
