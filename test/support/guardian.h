/*
 * guardian.h - guardians in tests: where their program is, who they are, and
 * what they wrote.
 */
#ifndef TEST_SUPPORT_GUARDIAN_H
#define TEST_SUPPORT_GUARDIAN_H

#include "tentacle/guardian/process.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/*
 * BUILD/test/tentacle/x_test or BUILD/tools/x -> BUILD/bin/longarm-guardian;
 * out has 4096 bytes.
 */
static inline const char *guardian_path(char *out)
{
	ssize_t n = readlink("/proc/self/exe", out, 4000);
	char *cut;

	out[n > 0 ? n : 0] = '\0';
	cut = strstr(out, "/test/tentacle/");
	if (cut == NULL)
		cut = strstr(out, "/tools/");
	if (cut != NULL)
		(void)snprintf(cut, 64, "/bin/longarm-guardian");
	return out;
}

/* The record of a script in a ticket's directory; false: none to be read. */
static inline bool guardian_record(
    const char *dir, const char *name, struct guard_record *out)
{
	uint8_t bytes[GUARD_RECORD_SIZE];
	char path[4200];
	size_t got = 0;
	int fd;

	(void)snprintf(
	    path, sizeof(path), "%.4000s/run-%.40s/record", dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (guard_read_at(fd, bytes, sizeof(bytes), 0, &got) != RC_OK)
		got = 0;
	(void)close(fd);
	return guard_record_decode(bytes_of(bytes, got), out) == RC_OK;
}

static inline void guardian_pause(void)
{
	const struct timespec t = { .tv_nsec = 5000000 };

	(void)nanosleep(&t, NULL);
}

/* kill -9, and gone when it returns. */
static inline void guardian_kill(const struct guard_who *who)
{
	while (guard_is_alive(who)) {
		if (guard_signal(who, SIGKILL, false) == RC_OK)
			guardian_pause();
	}
}

#endif
