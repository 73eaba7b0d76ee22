/*
 * deed NAME LINES WIDTH MS CODE - what a script of a chaos run does.
 *
 * Prints LINES lines of WIDTH bytes over MS milliseconds and ends with CODE.
 * Before and after it writes what it does to $HOME/deeds, synced:
 *
 *     begin TICKET NAME
 *     end TICKET NAME CODE
 *
 * so that others can compare what was told of it with what was done.  Line i
 * is "NAME i " and letters; test/chaos/load.py knows them too.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX 4096

static int write_all(int fd, const char *p, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n <= 0)
			return -1;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* One write and one sync: a line is there, whole, or it is not. */
static int mark(const char *text)
{
	const char *home = getenv("HOME");
	char path[LINE_MAX];
	int fd, rc = -1;

	if (home == NULL ||
	    snprintf(path, sizeof(path), "%s/deeds", home) >= LINE_MAX)
		return -1;
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (fd < 0)
		return -1;
	if (write_all(fd, text, strlen(text)) == 0 && fdatasync(fd) == 0)
		rc = 0;
	return close(fd) == 0 ? rc : -1;
}

static int say(const char *name, long i, size_t width)
{
	char line[LINE_MAX];
	size_t at = (size_t)snprintf(line, sizeof(line), "%s %ld ", name, i);

	for (; at + 1 < width; at++)
		line[at] = (char)('a' + (at + (size_t)i) % 26);
	line[at++] = '\n';
	return write_all(STDOUT_FILENO, line, at);
}

static void pause_us(long us)
{
	const struct timespec t = { .tv_sec = us / 1000000,
		.tv_nsec = us % 1000000 * 1000 };

	(void)nanosleep(&t, NULL);
}

int main(int argc, char **argv)
{
	const char *ticket = getenv("LONGARM_TICKET");
	char text[LINE_MAX];
	long lines, width, ms, code;

	if (argc != 6 || ticket == NULL || strlen(argv[1]) > 200)
		return 99;
	lines = strtol(argv[2], NULL, 10);
	width = strtol(argv[3], NULL, 10);
	ms = strtol(argv[4], NULL, 10);
	code = strtol(argv[5], NULL, 10);
	if (lines < 0 || width < 1 || width > LINE_MAX || ms < 0)
		return 99;
	(void)snprintf(text, sizeof(text), "begin %s %s\n", ticket, argv[1]);
	if (mark(text) != 0)
		return 98;
	for (long i = 0; i < lines; i++) {
		if (say(argv[1], i, (size_t)width) != 0)
			return 97;
		pause_us(ms * 1000 / (lines + 1));
	}
	pause_us(ms * 1000 / (lines + 1));
	(void)snprintf(
	    text, sizeof(text), "end %s %s %ld\n", ticket, argv[1], code);
	return mark(text) == 0 ? (int)code : 98;
}
