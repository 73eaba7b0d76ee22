/*
 * init_place.h - a directory for a new cluster, and its end.
 */
#ifndef TEST_SUPPORT_INIT_PLACE_H
#define TEST_SUPPORT_INIT_PLACE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/fs.h"
#include "server/init.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct init_place {
	char parent[64];
	char state[96];
	struct server_settings settings; /* state is not there yet */
};

static inline void init_place_make(struct init_place *p)
{
	memset(p, 0, sizeof(*p));
	(void)snprintf(
	    p->parent, sizeof(p->parent), "/tmp/longarm-init-XXXXXX");
	assert_non_null(mkdtemp(p->parent));
	(void)snprintf(p->state, sizeof(p->state), "%s/state", p->parent);
	p->settings.state = p->state;
	p->settings.http.port = 8443;
}

static inline void init_place_remove(struct init_place *p)
{
	int fd = open("/tmp", O_RDONLY | O_DIRECTORY);
	struct fault fault;

	assert_int_equal(fs_remove_tree(fd, p->parent + 5, &fault), RC_OK);
	(void)close(fd);
}

#endif
