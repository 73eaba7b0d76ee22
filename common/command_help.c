/* --help and man pages. */
#include "common/command_private.h"

#include <string.h>

#define HELP_COLUMN 28

/* "  left          right" with right on a line of its own when left is long. */
static void print_pair(FILE *out, const char *left, const char *right)
{
	size_t len = strlen(left) + 2;

	(void)fprintf(out, "  %s", left);
	if (len + 2 > HELP_COLUMN) {
		(void)fputc('\n', out);
		len = 0;
	}
	(void)fprintf(out, "%*s%s\n", (int)(HELP_COLUMN - len), "", right);
}

/* "-o, --output FORMAT" */
static void format_option(
    const struct command_option *o, char *out, size_t size)
{
	char letter[8] = "    ";

	if (o->letter != 0)
		(void)snprintf(letter, sizeof(letter), "-%c, ", o->letter);
	(void)snprintf(out, size, "%s--%s%s%s", letter, o->name,
	    o->argument != NULL ? " " : "",
	    o->argument != NULL ? o->argument : "");
}

static void format_option_help(
    const struct command_option *o, char *out, size_t size)
{
	(void)snprintf(out, size, "%s%s%s%s%s%s", o->help,
	    o->choices != NULL ? " (" : "",
	    o->choices != NULL ? o->choices : "", o->choices != NULL ? ")" : "",
	    o->required ? " (required)" : "",
	    o->repeated ? " (may be repeated)" : "");
}

static void print_options(
    FILE *out, const struct command_option *options, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char left[120], right[240];

		format_option(&options[i], left, sizeof(left));
		format_option_help(&options[i], right, sizeof(right));
		print_pair(out, left, right);
	}
}

/* Each line of text behind indent. */
static void print_indented(FILE *out, const char *indent, const char *text)
{
	while (*text != '\0') {
		size_t len = strcspn(text, "\n");

		(void)fprintf(
		    out, "%s%.*s\n", len > 0 ? indent : "", (int)len, text);
		text += len + (text[len] == '\n');
	}
}

static void print_command(
    const struct command_table *table, const struct command *c, FILE *out)
{
	(void)fprintf(out, "%s\n\nUsage: %s %s%s%s%s\n", c->help,
	    table->program, c->name,
	    c->option_count + table->option_count > 0 ? " [OPTIONS]" : "",
	    c->arguments != NULL ? " " : "",
	    c->arguments != NULL ? c->arguments : "");
	if (c->details != NULL) {
		(void)fputc('\n', out);
		print_indented(out, "", c->details);
	}
	(void)fputs("\nOptions:\n", out);
	print_options(out, c->options, c->option_count);
	print_options(out, table->options, table->option_count);
	print_pair(out, "-h, --help", "Show this");
	if (c->examples != NULL) {
		(void)fputs("\nExamples:\n", out);
		print_indented(out, "  ", c->examples);
	}
}

/* Length of the noun when other commands share it, else of the whole name. */
static size_t group_len(
    const struct command_table *table, const struct command *c)
{
	size_t noun = strcspn(c->name, " ");
	size_t members = 0;

	for (size_t i = 0; i < table->command_count; i++) {
		const char *name = table->commands[i].name;

		members += strcspn(name, " ") == noun &&
		           memcmp(name, c->name, noun) == 0;
	}
	return members > 1 ? noun : strlen(c->name);
}

/* Is it the first command of its group in the table? */
static bool opens_group(
    const struct command_table *table, const struct command *c, size_t len)
{
	for (const struct command *b = table->commands; b < c; b++) {
		if (!b->hidden && strncmp(b->name, c->name, len) == 0 &&
		    (b->name[len] == ' ' || b->name[len] == '\0'))
			return false;
	}
	return true;
}

/* "list, show, add" */
static void format_verbs(const struct command_table *table,
    const struct command *c, size_t len, char *out, size_t size)
{
	size_t used = 0;

	*out = '\0';
	for (size_t i = 0; i < table->command_count; i++) {
		const struct command *o = &table->commands[i];
		int n;

		if (o->hidden || strncmp(o->name, c->name, len) != 0 ||
		    o->name[len] != ' ')
			continue;
		n = snprintf(out + used, size - used, "%s%s",
		    used > 0 ? ", " : "", o->name + len + 1);
		if (n < 0 || (size_t)n >= size - used)
			return;
		used += (size_t)n;
	}
}

static void print_overview(
    const struct command_table *table, const char *prefix, FILE *out)
{
	bool whole = *prefix == '\0';

	for (size_t i = 0; i < table->command_count; i++) {
		const struct command *c = &table->commands[i];
		size_t len = group_len(table, c);
		char left[120], verbs[240];

		if (c->hidden || !command_name_within(c->name, prefix))
			continue;
		if (!whole || c->name[len] == '\0') {
			print_pair(out, c->name, c->help);
			continue;
		}
		if (!opens_group(table, c, len))
			continue;
		(void)snprintf(left, sizeof(left), "%.*s", (int)len, c->name);
		format_verbs(table, c, len, verbs, sizeof(verbs));
		print_pair(out, left, verbs);
	}
}

void command_print_help(
    const struct command_table *table, const char *prefix, FILE *out)
{
	if (prefix == NULL)
		prefix = "";
	for (size_t i = 0; i < table->command_count; i++) {
		if (strcmp(table->commands[i].name, prefix) == 0) {
			print_command(table, &table->commands[i], out);
			return;
		}
	}
	if (*prefix == '\0')
		(void)fprintf(out, "%s - %s\n\n", table->program, table->about);
	(void)fprintf(out,
	    "Usage: %s %s%sCOMMAND [OPTIONS] [ARGUMENTS]\n\nCommands:\n",
	    table->program, prefix, *prefix != '\0' ? " " : "");
	print_overview(table, prefix, out);
	if (*prefix == '\0') {
		print_pair(out, "completion bash|zsh|fish",
		    "Print a completion script for a shell");
		print_pair(out, "man", "Print the manual page");
		print_pair(out, "version", "Print the version");
		if (table->option_count > 0)
			(void)fputs("\nOptions of every command:\n", out);
		print_options(out, table->options, table->option_count);
	}
	(void)fprintf(out, "\n'%s COMMAND --help' tells more about each.\n",
	    table->program);
}

/* Text that roff must not take for its own. */
static void roff(FILE *out, const char *text)
{
	bool line_start = true;

	for (; *text != '\0'; text++) {
		if (line_start && (*text == '.' || *text == '\''))
			(void)fputs("\\&", out);
		line_start = *text == '\n';
		if (*text == '\\')
			(void)fputs("\\e", out);
		else if (*text == '-')
			(void)fputs("\\-", out);
		else
			(void)fputc(*text, out);
	}
}

static void man_options(
    const struct command_option *options, size_t count, FILE *out)
{
	for (size_t i = 0; i < count; i++) {
		char left[120], right[240];

		format_option(&options[i], left, sizeof(left));
		format_option_help(&options[i], right, sizeof(right));
		(void)fputs(".TP\n", out);
		roff(out, left + strspn(left, " "));
		(void)fputc('\n', out);
		roff(out, right);
		(void)fputc('\n', out);
	}
}

static void man_command(
    const struct command_table *table, const struct command *c, FILE *out)
{
	(void)fputs(".SS ", out);
	roff(out, table->program);
	(void)fputc(' ', out);
	roff(out, c->name);
	if (c->arguments != NULL) {
		(void)fputc(' ', out);
		roff(out, c->arguments);
	}
	(void)fputc('\n', out);
	roff(out, c->help);
	(void)fputs(".\n", out);
	if (c->details != NULL) {
		(void)fputs(".PP\n", out);
		roff(out, c->details);
		(void)fputc('\n', out);
	}
	man_options(c->options, c->option_count, out);
	if (c->examples != NULL) {
		(void)fputs(".PP\nExamples:\n.PP\n.nf\n", out);
		roff(out, c->examples);
		(void)fputs("\n.fi\n", out);
	}
}

void command_print_man(const struct command_table *table, FILE *out)
{
	static const struct {
		int code;
		const char *meaning;
	} codes[] = {
		{ COMMAND_OK, "success" },
		{ COMMAND_ERROR, "an error without a number of its own" },
		{ COMMAND_USAGE, "the command line was wrong" },
		{ COMMAND_NOT_FOUND, "what was named does not exist" },
		{ COMMAND_NOT_PERMITTED, "not permitted" },
		{ COMMAND_TASK_FAILED, "the task failed" },
		{ COMMAND_CANCELLED, "the task was cancelled" },
		{ COMMAND_WAIT_TIMED_OUT, "the wait ended; the task goes on" },
		{ COMMAND_SERVER_UNREACHABLE, "the server was not reached" },
		{ COMMAND_MACHINE_UNREACHABLE,
		    "a machine or relay was not reached" },
		{ COMMAND_PARTIAL, "some succeeded, some did not" },
		{ COMMAND_INTERRUPTED, "interrupted" },
	};

	(void)fprintf(out, ".TH \"%s\" 1 \"\" \"longarm %s\"\n.SH NAME\n",
	    table->program, LONGARM_VERSION);
	roff(out, table->program);
	(void)fputs(" \\- ", out);
	roff(out, table->about);
	(void)fputs("\n.SH SYNOPSIS\n", out);
	roff(out, table->program);
	(void)fputs(" COMMAND [OPTIONS] [ARGUMENTS]\n.SH COMMANDS\n", out);
	for (size_t i = 0; i < table->command_count; i++) {
		if (!table->commands[i].hidden)
			man_command(table, &table->commands[i], out);
	}
	(void)fputs(".SH OPTIONS OF EVERY COMMAND\n", out);
	man_options(table->options, table->option_count, out);
	(void)fputs(
	    ".TP\n\\-h, \\-\\-help\nShow help.\n.SH EXIT STATUS\n", out);
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		(void)fprintf(
		    out, ".TP\n%d\n%s\n", codes[i].code, codes[i].meaning);
}
