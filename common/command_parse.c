#include "common/command_parse.h"

#include "common/command_private.h"
#include "common/nearest.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_WORDS 3 /* of a command, at most */
#define WORD_SHOWN 40

struct parser {
	const struct command_table *table;
	struct command_line *line;
	struct fault *fault;
	char **argv;
	int argc, at; /* at: the next word */
};

/* ": did you mean 'x'?" or nothing. */
static const char *hint(const struct nearest *n, char *out, size_t size)
{
	const char *name = nearest_name(n);

	if (name == NULL)
		return "";
	(void)snprintf(out, size, "; did you mean '%s'?", name);
	return out;
}

/* Join up to count words; false when that is no name of a command. */
static bool join_words(char **words, int count, char *out, size_t size)
{
	size_t len = 0;

	*out = '\0';
	for (int i = 0; i < count; i++) {
		size_t n = strlen(words[i]);

		if (words[i][0] == '-' || n + 2 > size - len)
			return false;
		if (len > 0)
			out[len++] = ' ';
		memcpy(out + len, words[i], n + 1);
		len += n;
	}
	return true;
}

static const struct command *command_named(
    const struct command_table *table, const char *name)
{
	for (size_t i = 0; i < table->command_count; i++) {
		if (strcmp(table->commands[i].name, name) == 0)
			return &table->commands[i];
	}
	return NULL;
}

static bool is_group(const struct command_table *table, const char *name)
{
	for (size_t i = 0; i < table->command_count; i++) {
		if (command_name_within(table->commands[i].name, name))
			return true;
	}
	return false;
}

/* The word of name after the prefix, in out. */
static bool word_after(
    const char *name, const char *prefix, char *out, size_t size)
{
	size_t len = strlen(prefix);
	size_t n;

	if (!command_name_within(name, prefix) || name[len] == '\0')
		return false;
	name += len + (len > 0);
	n = strcspn(name, " ");
	if (n >= size)
		return false;
	memcpy(out, name, n);
	out[n] = '\0';
	return true;
}

/* A group without verb, or a word that is no command. */
static enum rc refuse_command(
    struct parser *p, const char *group, const char *word)
{
	char best[64] = "", next[64], text[80], list[160] = "";
	struct nearest n;
	size_t len = 0;

	nearest_init(&n, word == NULL ? "" : word);
	for (size_t i = 0; i < p->table->command_count; i++) {
		unsigned before = n.distance;

		if (p->table->commands[i].hidden ||
		    !word_after(
			p->table->commands[i].name, group, next, sizeof(next)))
			continue;
		if (*group != '\0' && len + strlen(next) + 3 < sizeof(list))
			len += (size_t)snprintf(list + len, sizeof(list) - len,
			    "%s%s", len > 0 ? ", " : "", next);
		/* next changes under n's feet: keep a copy of the best. */
		nearest_consider(&n, next);
		if (n.distance < before)
			memcpy(best, next, sizeof(best));
	}
	if (n.best != NULL)
		n.best = best;
	if (word == NULL)
		fault_set(p->fault, REASON_BAD_CONFIG, "",
		    "what shall be done with %s? One of: %s", group, list);
	else
		fault_set(p->fault, REASON_BAD_CONFIG, "",
		    "unknown command '%s%s%.*s'%s", group,
		    *group != '\0' ? " " : "", WORD_SHOWN, word,
		    hint(&n, text, sizeof(text)));
	return RC_PROTO;
}

static const struct command_option *option_named(
    const struct parser *p, const char *name, size_t len)
{
	size_t total = command_option_total(p->table, p->line->command);

	for (size_t i = 0; i < total; i++) {
		const struct command_option *o =
		    command_option_at(p->table, p->line->command, i);

		if (strlen(o->name) == len && memcmp(o->name, name, len) == 0)
			return o;
	}
	return NULL;
}

static const struct command_option *option_lettered(
    const struct parser *p, char letter)
{
	size_t total = command_option_total(p->table, p->line->command);

	for (size_t i = 0; i < total; i++) {
		const struct command_option *o =
		    command_option_at(p->table, p->line->command, i);

		if (o->letter == letter)
			return o;
	}
	return NULL;
}

static enum rc refuse_option(struct parser *p, const char *name, size_t len)
{
	size_t total = command_option_total(p->table, p->line->command);
	char word[64], near[100], text[100] = "";
	struct nearest n;

	(void)snprintf(word, sizeof(word), "%.*s", (int)len, name);
	nearest_init(&n, word);
	nearest_consider(&n, "help");
	for (size_t i = 0; i < total; i++)
		nearest_consider(
		    &n, command_option_at(p->table, p->line->command, i)->name);
	if (nearest_name(&n) != NULL) {
		(void)snprintf(near, sizeof(near), "--%s", nearest_name(&n));
		n.best = near;
	}
	fault_set(p->fault, REASON_BAD_CONFIG, "", "unknown option --%.*s%s",
	    WORD_SHOWN, word, hint(&n, text, sizeof(text)));
	return RC_PROTO;
}

static bool is_choice(const char *choices, const char *text)
{
	size_t len = strlen(text);

	while (*choices != '\0') {
		size_t n = strcspn(choices, "|");

		if (n == len && memcmp(choices, text, len) == 0)
			return true;
		choices += n + (choices[n] == '|');
	}
	return false;
}

static enum rc add_value(
    struct parser *p, const struct command_option *option, const char *text)
{
	if (!option->repeated && command_has(p->line, option->name)) {
		fault_set(p->fault, REASON_BAD_CONFIG, "",
		    "--%s was given twice", option->name);
		return RC_PROTO;
	}
	if (option->choices != NULL && !is_choice(option->choices, text)) {
		fault_set(p->fault, REASON_BAD_CONFIG, "",
		    "--%s: '%.*s' is none of %s", option->name, WORD_SHOWN,
		    text, option->choices);
		return RC_PROTO;
	}
	p->line->values[p->line->value_count++] =
	    (struct command_given){ .option = option, .text = text };
	return RC_OK;
}

/* The value that follows as a word of its own. */
static enum rc take_value(struct parser *p, const struct command_option *option)
{
	if (p->at >= p->argc) {
		fault_set(p->fault, REASON_BAD_CONFIG, "", "--%s needs %s",
		    option->name, option->argument);
		return RC_PROTO;
	}
	return add_value(p, option, p->argv[p->at++]);
}

static void wish_for_help(struct parser *p)
{
	p->line->wish = COMMAND_WISH_HELP;
}

/* --name, --name=value, --name value */
static enum rc parse_long(struct parser *p, const char *word)
{
	size_t len = strcspn(word, "=");
	const struct command_option *option = option_named(p, word, len);

	if (option == NULL && strcmp(word, "help") == 0) {
		wish_for_help(p);
		return RC_OK;
	}
	if (option == NULL && strcmp(word, "version") == 0 &&
	    p->line->command == NULL) {
		p->line->wish = COMMAND_WISH_VERSION;
		return RC_OK;
	}
	if (option == NULL)
		return refuse_option(p, word, len);
	if (option->argument == NULL && word[len] == '=') {
		fault_set(p->fault, REASON_BAD_CONFIG, "",
		    "--%s takes no value", option->name);
		return RC_PROTO;
	}
	if (option->argument == NULL)
		return add_value(p, option, "");
	if (word[len] == '=')
		return add_value(p, option, word + len + 1);
	return take_value(p, option);
}

/* -x, -xyz (switches), -o value, -ovalue */
static enum rc parse_short(struct parser *p, const char *letters)
{
	enum rc rc = RC_OK;

	for (; *letters != '\0' && rc == RC_OK; letters++) {
		const struct command_option *option =
		    option_lettered(p, *letters);

		if (option == NULL && *letters == 'h') {
			wish_for_help(p);
		} else if (option == NULL) {
			fault_set(p->fault, REASON_BAD_CONFIG, "",
			    "unknown option -%c", *letters);
			return RC_PROTO;
		} else if (option->argument == NULL) {
			rc = add_value(p, option, "");
		} else {
			return letters[1] != '\0'
			           ? add_value(p, option, letters + 1)
			           : take_value(p, option);
		}
	}
	return rc;
}

/* Takes one option when the next word is one. */
static enum rc parse_option(struct parser *p)
{
	const char *word = p->argv[p->at++];

	return word[1] == '-' ? parse_long(p, word + 2)
	                      : parse_short(p, word + 1);
}

static bool is_option(const char *word)
{
	return word[0] == '-' && word[1] != '\0';
}

/* The longest run of words that names a command. */
static enum rc parse_command(struct parser *p)
{
	char name[128], group[128] = "";
	int words = p->argc - p->at;

	for (int n = words < NAME_WORDS ? words : NAME_WORDS; n > 0; n--) {
		if (!join_words(p->argv + p->at, n, name, sizeof(name)))
			continue;
		p->line->command = command_named(p->table, name);
		if (p->line->command != NULL) {
			p->at += n;
			(void)snprintf(p->line->help_prefix,
			    sizeof(p->line->help_prefix), "%s", name);
			return RC_OK;
		}
		if (*group == '\0' && is_group(p->table, name)) {
			memcpy(group, name, sizeof(group));
			words = n;
		}
	}
	if (*group == '\0')
		return refuse_command(
		    p, "", p->at < p->argc ? p->argv[p->at] : "");
	p->at += words;
	(void)snprintf(
	    p->line->help_prefix, sizeof(p->line->help_prefix), "%s", group);
	/* "machine --help" is about the group. */
	if (p->at < p->argc && (strcmp(p->argv[p->at], "--help") == 0 ||
				   strcmp(p->argv[p->at], "-h") == 0)) {
		wish_for_help(p);
		return RC_OK;
	}
	return refuse_command(
	    p, group, p->at < p->argc ? p->argv[p->at] : NULL);
}

/* The next word of a usage like "MACHINE [FILE...]". */
static bool next_usage_word(const char **usage, char *out, size_t size)
{
	size_t len;

	*usage += strspn(*usage, " ");
	len = strcspn(*usage, " ");
	if (len == 0)
		return false;
	assert(len < size);
	memcpy(out, *usage, len);
	out[len] = '\0';
	*usage += len;
	return true;
}

static enum rc check_arguments(struct parser *p)
{
	const struct command_line *line = p->line;
	const char *usage = line->command->arguments;
	size_t least = 0, most = 0;
	char word[64];

	while (usage != NULL && next_usage_word(&usage, word, sizeof(word))) {
		if (strcmp(word, "--") == 0)
			continue;
		if (word[0] != '[' && least == line->argument_count) {
			fault_set(p->fault, REASON_BAD_CONFIG, "",
			    "%s needs %s", line->command->name,
			    line->command->arguments);
			return RC_PROTO;
		}
		least += word[0] != '[';
		most =
		    strstr(word, "...") != NULL ? COMMAND_VALUES_MAX : most + 1;
	}
	if (line->argument_count <= most)
		return RC_OK;
	fault_set(p->fault, REASON_BAD_CONFIG, "",
	    "%s takes %s%s; '%.*s' is too much", line->command->name,
	    most == 0 ? "no argument" : "only ",
	    most == 0 ? "" : line->command->arguments, WORD_SHOWN,
	    line->arguments[most]);
	return RC_PROTO;
}

static enum rc check_required(struct parser *p)
{
	size_t total = command_option_total(p->table, p->line->command);

	for (size_t i = 0; i < total; i++) {
		const struct command_option *o =
		    command_option_at(p->table, p->line->command, i);

		if (!o->required || command_has(p->line, o->name))
			continue;
		fault_set(p->fault, REASON_BAD_CONFIG, "", "%s needs --%s %s",
		    p->line->command->name, o->name, o->argument);
		return RC_PROTO;
	}
	return RC_OK;
}

static enum rc parse_rest(struct parser *p)
{
	bool only_arguments = false;
	enum rc rc = RC_OK;

	while (p->at < p->argc && rc == RC_OK) {
		const char *word = p->argv[p->at];

		if (!only_arguments && strcmp(word, "--") == 0) {
			only_arguments = true;
			p->at++;
		} else if (!only_arguments && is_option(word)) {
			rc = parse_option(p);
		} else {
			p->line->arguments[p->line->argument_count++] = word;
			p->at++;
		}
	}
	return rc;
}

static enum rc parse(struct parser *p)
{
	enum rc rc = RC_OK;

	/* Options of the whole program may stand before the command. */
	while (rc == RC_OK && p->at < p->argc && is_option(p->argv[p->at]) &&
	       p->line->wish == COMMAND_WISH_RUN)
		rc = parse_option(p);
	if (rc != RC_OK || p->line->wish != COMMAND_WISH_RUN)
		return rc;
	rc = parse_command(p);
	if (rc != RC_OK || p->line->wish != COMMAND_WISH_RUN)
		return rc;
	rc = parse_rest(p);
	if (rc != RC_OK || p->line->wish != COMMAND_WISH_RUN)
		return rc;
	rc = check_required(p);
	return rc == RC_OK ? check_arguments(p) : rc;
}

enum rc command_parse(const struct command_table *table, int argc, char **argv,
    struct command_line **out, struct fault *fault)
{
	struct parser p = { .table = table,
		.fault = fault,
		.argv = argv,
		.argc = argc,
		.at = 1 };
	size_t room;
	enum rc rc;

	if (argc < 1 || argc > COMMAND_VALUES_MAX) {
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "more than %d words; use a file or standard input",
		    COMMAND_VALUES_MAX);
		return RC_LIMIT;
	}
	p.line = calloc(1, sizeof(*p.line));
	if (p.line == NULL)
		return RC_NOMEM;
	p.line->table = table;
	/* -xyz gives more values than words, but no more than letters. */
	room = 1;
	for (int i = 1; i < argc; i++)
		room += argv[i][0] == '-' ? strlen(argv[i]) : 1;
	p.line->values = calloc(room, sizeof(*p.line->values));
	p.line->arguments =
	    (const char **)calloc((size_t)argc, sizeof(*p.line->arguments));
	rc = p.line->values == NULL || p.line->arguments == NULL ? RC_NOMEM
	                                                         : parse(&p);
	if (rc == RC_OK) {
		*out = p.line;
		p.line = NULL;
	}
	command_line_free(p.line);
	return rc;
}
