/*
 * Completion scripts.  bash and zsh share one body: walk the words to find the
 * command, then offer what may follow it.  All text is from the table: names
 * and choices without characters that a shell would look at.
 */
#include "common/command_private.h"

#include <string.h>

/* Is no command before it the same in its first len bytes? */
static bool is_first_with_prefix(
    const struct command_table *table, size_t index, size_t len)
{
	const char *name = table->commands[index].name;

	for (size_t i = 0; i < index; i++) {
		const char *before = table->commands[i].name;

		if (!table->commands[i].hidden &&
		    strncmp(before, name, len) == 0 &&
		    (before[len] == ' ' || before[len] == '\0'))
			return false;
	}
	return true;
}

/* Length of the prefix of name with one more word than the first len bytes. */
static size_t next_prefix(const char *name, size_t len)
{
	if (name[len] == ' ')
		len++;
	return len + strcspn(name + len, " ");
}

/* Words that may follow a prefix of len bytes of command index. */
static void print_followers(const struct command_table *table,
    const char *prefix, size_t len, FILE *out)
{
	for (size_t i = 0; i < table->command_count; i++) {
		const char *name = table->commands[i].name;
		size_t end;

		if (table->commands[i].hidden ||
		    strncmp(name, prefix, len) != 0 ||
		    (len > 0 && name[len] != ' '))
			continue;
		end = next_prefix(name, len);
		if (!is_first_with_prefix(table, i, end))
			continue;
		name += len + (len > 0);
		(void)fprintf(out, "%.*s ", (int)strcspn(name, " "), name);
	}
}

static void print_known_prefixes(
    const struct command_table *table, const char *separator, FILE *out)
{
	bool any = false;

	for (size_t i = 0; i < table->command_count; i++) {
		const char *name = table->commands[i].name;

		for (size_t len = next_prefix(name, 0);;
		     len = next_prefix(name, len)) {
			if (is_first_with_prefix(table, i, len)) {
				(void)fprintf(out, "%s'%.*s'",
				    any ? separator : "", (int)len, name);
				any = true;
			}
			if (name[len] == '\0')
				break;
		}
	}
}

static void print_option_names(
    const struct command_table *table, const struct command *c, FILE *out)
{
	for (size_t i = 0; i < command_option_total(table, c); i++)
		(void)fprintf(
		    out, "--%s ", command_option_at(table, c, i)->name);
	(void)fputs("--help", out);
}

/* What may follow a prefix of len bytes that no earlier command had. */
static void print_case(
    const struct command_table *table, size_t index, size_t len, FILE *out)
{
	const struct command *c = &table->commands[index];

	if (!is_first_with_prefix(table, index, len))
		return;
	(void)fprintf(out, "\t'%.*s') list='", (int)len, c->name);
	print_followers(table, c->name, len, out);
	if (c->name[len] == '\0')
		print_option_names(table, c, out);
	(void)fputs("' ;;\n", out);
}

static void print_cases(const struct command_table *table, FILE *out)
{
	(void)fputs("\tcase \"$at\" in\n\t'') list='", out);
	print_followers(table, "", 0, out);
	(void)fputs("help version completion man' ;;\n", out);
	for (size_t i = 0; i < table->command_count; i++) {
		const char *name = table->commands[i].name;
		size_t len = 0;

		do {
			len = next_prefix(name, len);
			print_case(table, i, len, out);
		} while (name[len] != '\0');
	}
	(void)fputs("\tesac\n", out);
}

static void print_choices(const struct command_option *o, FILE *out)
{
	if (o->choices == NULL)
		return;
	(void)fprintf(out, "\t--%s", o->name);
	if (o->letter != 0)
		(void)fprintf(out, "|-%c", o->letter);
	(void)fputs(") list='", out);
	for (const char *at = o->choices; *at != '\0'; at++)
		(void)fputc(*at == '|' ? ' ' : *at, out);
	(void)fputs("' ;;\n", out);
}

static void print_choice_cases(const struct command_table *table, FILE *out)
{
	(void)fputs("\tcase \"$before\" in\n", out);
	for (size_t i = 0; i < table->option_count; i++)
		print_choices(&table->options[i], out);
	for (size_t i = 0; i < table->command_count; i++) {
		for (size_t j = 0; j < table->commands[i].option_count; j++)
			print_choices(&table->commands[i].options[j], out);
	}
	(void)fputs("\tcompletion) list='bash zsh fish' ;;\n\tesac\n", out);
}

/* A function's name: the program's without its dashes. */
static void print_function(const struct command_table *table, FILE *out)
{
	(void)fputc('_', out);
	for (const char *at = table->program; *at != '\0'; at++)
		(void)fputc(*at == '-' ? '_' : *at, out);
}

static void print_walk(const struct command_table *table, FILE *out)
{
	(void)fputs("\t\tcase \"$word\" in -*) continue ;; esac\n"
		    "\t\tcase \"$at${at:+ }$word\" in\n\t\t",
	    out);
	print_known_prefixes(table, "|", out);
	(void)fputs(") at=\"$at${at:+ }$word\" ;;\n\t\tesac\n\tdone\n", out);
	print_cases(table, out);
	print_choice_cases(table, out);
}

static void print_bash(const struct command_table *table, FILE *out)
{
	print_function(table, out);
	(void)fputs("() {\n\tlocal at= list= word= i before\n"
		    "\tbefore=${COMP_WORDS[COMP_CWORD - 1]}\n"
		    "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
		    "\t\tword=${COMP_WORDS[i]}\n",
	    out);
	print_walk(table, out);
	(void)fputs("\tCOMPREPLY=($(compgen -W \"$list\" -- "
		    "\"${COMP_WORDS[COMP_CWORD]}\"))\n}\n"
		    "complete -o default -F ",
	    out);
	print_function(table, out);
	(void)fprintf(out, " %s\n", table->program);
}

static void print_zsh(const struct command_table *table, FILE *out)
{
	(void)fprintf(out, "#compdef %s\n", table->program);
	print_function(table, out);
	(void)fputs("() {\n\tlocal at= list= word= i before\n"
		    "\tbefore=${words[CURRENT - 1]}\n"
		    "\tfor ((i = 2; i < CURRENT; i++)); do\n"
		    "\t\tword=${words[i]}\n",
	    out);
	print_walk(table, out);
	(void)fputs("\tcompadd -- ${=list} || _files\n}\ncompdef ", out);
	print_function(table, out);
	(void)fprintf(out, " %s\n", table->program);
}

/* Single quotes, backslashes: fish understands \' and \\ within quotes. */
static void print_fish_text(const char *text, FILE *out)
{
	(void)fputc('\'', out);
	for (; *text != '\0'; text++) {
		if (*text == '\'' || *text == '\\')
			(void)fputc('\\', out);
		(void)fputc(*text, out);
	}
	(void)fputc('\'', out);
}

static void print_fish_option(const struct command_table *table,
    const char *name, const struct command_option *o, FILE *out)
{
	(void)fprintf(out, "complete -c %s", table->program);
	if (name != NULL) {
		(void)fputs(" -n 'test (", out);
		print_function(table, out);
		(void)fprintf(out, "_at) = \"%s\"'", name);
	}
	(void)fprintf(out, " -l %s", o->name);
	if (o->letter != 0)
		(void)fprintf(out, " -s %c", o->letter);
	if (o->argument != NULL)
		(void)fputs(" -r", out);
	if (o->choices != NULL) {
		(void)fputs(" -f -a '", out);
		for (const char *at = o->choices; *at != '\0'; at++)
			(void)fputc(*at == '|' ? ' ' : *at, out);
		(void)fputc('\'', out);
	}
	(void)fputs(" -d ", out);
	print_fish_text(o->help, out);
	(void)fputc('\n', out);
}

/* The last word of the command's name, offered after those before it. */
static void print_fish_command(
    const struct command_table *table, size_t index, FILE *out)
{
	const char *name = table->commands[index].name;
	size_t len = 0;

	for (;;) {
		size_t end = next_prefix(name, len);
		size_t begin = len + (len > 0);

		if (is_first_with_prefix(table, index, end)) {
			(void)fprintf(
			    out, "complete -c %s -n 'test (", table->program);
			print_function(table, out);
			(void)fprintf(out, "_at) = \"%.*s\"' -a '%.*s'",
			    (int)len, name, (int)(end - begin), name + begin);
			if (name[end] == '\0') {
				(void)fputs(" -d ", out);
				print_fish_text(
				    table->commands[index].help, out);
			}
			(void)fputc('\n', out);
		}
		if (name[end] == '\0')
			return;
		len = end;
	}
}

static void print_fish(const struct command_table *table, FILE *out)
{
	(void)fputs("function ", out);
	print_function(table, out);
	(void)fputs("_at\n\tset -l at ''\n\tset -l words (commandline -opc)\n"
		    "\tfor word in $words[2..-1]\n"
		    "\t\tset -l next (string trim -- \"$at $word\")\n"
		    "\t\tif contains -- \"$next\" ",
	    out);
	print_known_prefixes(table, " ", out);
	(void)fputs(
	    "\n\t\t\tset at $next\n\t\tend\n\tend\n\techo $at\nend\n", out);
	for (size_t i = 0; i < table->command_count; i++) {
		const struct command *c = &table->commands[i];

		print_fish_command(table, i, out);
		for (size_t j = 0; j < c->option_count; j++)
			print_fish_option(table, c->name, &c->options[j], out);
	}
	for (size_t i = 0; i < table->option_count; i++)
		print_fish_option(table, NULL, &table->options[i], out);
}

enum rc command_print_completion(
    const struct command_table *table, const char *shell, FILE *out)
{
	if (strcmp(shell, "bash") == 0)
		print_bash(table, out);
	else if (strcmp(shell, "zsh") == 0)
		print_zsh(table, out);
	else if (strcmp(shell, "fish") == 0)
		print_fish(table, out);
	else
		return RC_NOTFOUND;
	return RC_OK;
}
