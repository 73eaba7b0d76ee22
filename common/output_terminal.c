/* Colour, progress and faults: what is for a person at a terminal. */
#include "common/output.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define LINE_MAX_BYTES 400

/* Commands have one thread, and none of us calls setenv(). */
static const char *variable(const char *name)
{
	return getenv(name); /* NOLINT(concurrency-mt-unsafe) */
}

bool output_may_colour(FILE *file)
{
	const char *no_color = variable("NO_COLOR");
	const char *term = variable("TERM");

	if (no_color != NULL && *no_color != '\0')
		return false;
	if (term == NULL || strcmp(term, "dumb") == 0)
		return false;
	return isatty(fileno(file)) == 1;
}

void output_colour(
    FILE *file, enum output_colour colour, const char *format, ...)
{
	static const char *const codes[] = {
		[OUTPUT_PLAIN] = "",
		[OUTPUT_RED] = "\033[31m",
		[OUTPUT_GREEN] = "\033[32m",
		[OUTPUT_YELLOW] = "\033[33m",
		[OUTPUT_DIM] = "\033[2m",
	};
	bool coloured = colour != OUTPUT_PLAIN && output_may_colour(file);
	va_list args;

	if (coloured)
		(void)fputs(codes[colour], file);
	va_start(args, format);
	(void)vfprintf(file, format, args);
	va_end(args);
	if (coloured)
		(void)fputs("\033[0m", file);
}

static bool has_progress(void)
{
	const char *term = variable("TERM");

	return isatty(STDERR_FILENO) == 1 && term != NULL &&
	       strcmp(term, "dumb") != 0;
}

/* A line that wraps could not be overwritten. */
static size_t terminal_columns(void)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 2)
		return 79;
	return size.ws_col < LINE_MAX_BYTES ? (size_t)size.ws_col - 1
	                                    : LINE_MAX_BYTES - 1;
}

void output_progress(const char *format, ...)
{
	char text[LINE_MAX_BYTES];
	size_t columns;
	va_list args;

	if (!has_progress())
		return;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	columns = terminal_columns();
	if (strlen(text) > columns)
		text[columns] = '\0';
	(void)fputs("\r\033[K", stderr);
	output_safe(stderr, text);
	(void)fflush(stderr);
}

void output_progress_end(void)
{
	if (!has_progress())
		return;
	(void)fputs("\r\033[K", stderr);
	(void)fflush(stderr);
}

void output_fault(const char *program, const struct fault *fault)
{
	(void)fprintf(stderr, "%s: ", program);
	if (fault->at[0] != '\0') {
		output_safe(stderr, fault->at);
		(void)fputs(": ", stderr);
	}
	output_safe(stderr,
	    fault->text[0] != '\0' ? fault->text : reason_name(fault->code));
	(void)fputc('\n', stderr);
	if (fault->code != REASON_NONE && fault->code != REASON_INTERNAL)
		(void)fprintf(stderr, "  %s\n", reason_advice(fault->code));
}
