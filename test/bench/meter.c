#include "test/bench/meter.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

uint64_t meter_now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t meter_cpu_ns(long pid)
{
	char path[300];
	struct dirent *entry;
	uint64_t sum = 0;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%ld/task", pid);
	dir = opendir(path);
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		uint64_t ns;
		FILE *f;

		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof(path),
		    "/proc/%ld/task/%s/schedstat", pid, entry->d_name);
		f = fopen(path, "re");
		if (f != NULL && fscanf(f, "%" SCNu64, &ns) == 1)
			sum += ns;
		if (f != NULL)
			(void)fclose(f);
	}
	if (dir != NULL)
		(void)closedir(dir);
	return sum;
}

enum rc meter_add(struct meter_list *list, uint64_t us)
{
	if (list->count == list->cap) {
		size_t cap = list->cap == 0 ? 4096 : 2 * list->cap;
		uint32_t *grown = realloc(list->us, cap * sizeof(*grown));

		if (grown == NULL)
			return RC_NOMEM;
		list->us = grown;
		list->cap = cap;
	}
	list->us[list->count++] = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
	return RC_OK;
}

void meter_print(const struct meter_list *list)
{
	(void)printf("[");
	for (size_t i = 0; i < list->count; i++)
		(void)printf("%s%" PRIu32, i > 0 ? "," : "", list->us[i]);
	(void)printf("]");
}

void meter_free(struct meter_list *list)
{
	free(list->us);
	memset(list, 0, sizeof(*list));
}

const char *meter_text(char **words, const char *name)
{
	const size_t len = strlen(name);

	for (; *words != NULL; words++) {
		if (strncmp(*words, name, len) == 0 && (*words)[len] == '=')
			return *words + len + 1;
	}
	return NULL;
}

uint64_t meter_setting(char **words, const char *name, uint64_t other)
{
	const char *text = meter_text(words, name);

	return text != NULL ? strtoull(text, NULL, 10) : other;
}

int meter_socket(const char *ns)
{
	int own = -1, far = -1, fd = -1;

	if (ns == NULL)
		return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	far = open(ns, O_RDONLY | O_CLOEXEC);
	if (own >= 0 && far >= 0 && setns(far, CLONE_NEWNET) == 0) {
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		/* All that follows would be in the wrong network. */
		if (setns(own, CLONE_NEWNET) != 0)
			abort();
	}
	if (own >= 0)
		(void)close(own);
	if (far >= 0)
		(void)close(far);
	return fd;
}

void meter_read_in_bulk(int fd)
{
	const int much = 128 * 1024;

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &much, sizeof(much));
}

int meter_ticker(uint64_t every_us)
{
	const struct timespec t = { .tv_sec = (time_t)(every_us / 1000000),
		.tv_nsec = (long)(every_us % 1000000) * 1000 };
	const struct itimerspec spec = { t, t };
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);

	if (fd >= 0 && timerfd_settime(fd, 0, &spec, NULL) != 0) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

uint64_t meter_ticks(int ticker)
{
	uint64_t n = 0;

	return read(ticker, &n, sizeof(n)) == sizeof(n) ? n : 0;
}
