/*
 * machine.c - another boot of the machine, another time on its wall clock.
 * These come before the C library's, also for the libraries.
 */
#include "test/failing/failing.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int open(const char *path, int flags, ...);

int open(const char *path, int flags, ...)
{
	char other[FAILING_PATH], text[2];
	mode_t mode = 0;
	va_list args;

	if ((flags & (O_CREAT | O_TMPFILE)) != 0) {
		va_start(args, flags);
		mode = va_arg(args, mode_t);
		va_end(args);
	}
	if (strcmp(path, "/proc/sys/kernel/random/boot_id") == 0 &&
	    failing_read("boot_id", text, sizeof(text)) &&
	    failing_path("boot_id", other))
		path = other;
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

static long ahead_ms(void)
{
	char text[32];

	return failing_read("clock", text, sizeof(text))
	           ? strtol(text, NULL, 10)
	           : 0;
}

static void move(struct timespec *t)
{
	long ms = ahead_ms();

	t->tv_sec += ms / 1000;
	t->tv_nsec += ms % 1000 * 1000000;
	if (t->tv_nsec < 0) {
		t->tv_sec--;
		t->tv_nsec += 1000000000;
	} else if (t->tv_nsec >= 1000000000) {
		t->tv_sec++;
		t->tv_nsec -= 1000000000;
	}
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
	int rc = (int)syscall(SYS_clock_gettime, clock, t);

	if (rc == 0 && clock == CLOCK_REALTIME)
		move(t);
	return rc;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	struct timespec t;

	(void)zone;
	if (clock_gettime(CLOCK_REALTIME, &t) != 0)
		return -1;
	*tv =
	    (struct timeval){ .tv_sec = t.tv_sec, .tv_usec = t.tv_nsec / 1000 };
	return 0;
}

time_t time(time_t *out)
{
	struct timespec t;

	if (clock_gettime(CLOCK_REALTIME, &t) != 0)
		return (time_t)-1;
	if (out != NULL)
		*out = t.tv_sec;
	return t.tv_sec;
}
