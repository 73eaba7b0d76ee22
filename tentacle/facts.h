/*
 * facts.h - what a health check says about this machine.
 */
#ifndef TENTACLE_FACTS_H
#define TENTACLE_FACTS_H

#include "proto/message_standing.h"

/* Owns the text that `msg` borrows. */
struct facts {
	struct msg_facts msg;
	struct msg_disk disks[HEALTH_DISKS_MAX];
	char disk_paths[HEALTH_DISKS_MAX][MSG_TEXT_MAX + 1];
	char os[MSG_TEXT_MAX + 1];
	char kernel[MSG_TEXT_MAX + 1];
	char arch[MSG_TEXT_MAX + 1];
	char hostname[MSG_TEXT_MAX + 1];
};

/*
 * Collect.  What cannot be read is left 0 or "unknown".  Does not move *f
 * later: msg points into it.  Touches no network file system; does not block
 * for long.
 */
void facts_collect(struct facts *f);

/* Pure parsers of what the kernel tells, for facts.c and its tests. */
void facts_parse_meminfo(const char *text, struct msg_facts *out);
void facts_parse_loadavg(const char *text, struct msg_facts *out);
/* PRETTY_NAME of /etc/os-release. */
void facts_parse_os(const char *text, char *out, size_t size);

#endif
