#include "server/cli/waits.h"

#include "common/output.h"
#include "common/xalloc.h"
#include "server/cli/commands.h"

#include <stdlib.h>
#include <string.h>

#define SHOWN_MAX 5u

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text != NULL ? text : "";
}

/* As a shell reads it back. */
static void print_word(const char *word, FILE *out)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/";
	char *quoted, *to;

	if (*word != '\0' && word[strspn(word, plain)] == '\0') {
		(void)fputs(word, out);
		return;
	}
	quoted = to = xcalloc(1, 4 * strlen(word) + 3);
	*to++ = '\'';
	for (; *word != '\0'; word++) {
		size_t len = *word == '\'' ? 4 : 1;

		memcpy(to, *word == '\'' ? "'\\''" : word, len);
		to += len;
	}
	*to = '\'';
	output_safe(out, quoted);
	free(quoted);
}

static void print_command(const char *id, const json_t *one, const char *verb,
    const char *rest, FILE *out)
{
	(void)fprintf(out, "    longarm task %s %s --machine ", verb, id);
	print_word(text_of(one, "machine"), out);
	(void)fputs(" --step ", out);
	print_word(text_of(one, "step"), out);
	(void)fprintf(out, "%s\n", rest);
}

static void print_run(const char *id, const json_t *one, FILE *out)
{
	(void)fputs("  ", out);
	output_safe(out, text_of(one, "machine"));
	(void)fputs(", ", out);
	output_safe(out, text_of(one, "step"));
	(void)fprintf(out, ": %s, attempt %lld: ", text_of(one, "state"),
	    (long long)json_integer_value(json_object_get(one, "attempt")));
	output_safe(out, text_of(one, "text"));
	(void)fputc('\n', out);
	if (json_is_true(json_object_get(one, "decides"))) {
		print_command(id, one, "retry", "    # once more", out);
		print_command(
		    id, one, "ignore", "    # as if it had succeeded", out);
		print_command(
		    id, one, "fail", "    # this machine has failed", out);
		print_command(
		    id, one, "exclude", "    # without this machine", out);
	}
	if (strcmp(text_of(one, "kind"), "unknown") == 0) {
		print_command(id, one, "resolve",
		    " --as succeeded --note 'how you know'", out);
		print_command(id, one, "resolve",
		    " --as failed --note 'how you know'", out);
	}
}

static void print_approval(const char *id, const json_t *one, FILE *out)
{
	(void)fputs("  ", out);
	output_safe(out, text_of(one, "step"));
	(void)fputs(" asks: ", out);
	output_safe(out, text_of(one, "text"));
	(void)fprintf(out,
	    "\n    longarm task approve %s --note 'why'\n"
	    "    longarm task approve %s --reject --note 'why'    # it ends\n",
	    id, id);
}

void print_interruptions(const json_t *task, FILE *out)
{
	const json_t *all = json_object_get(task, "interruptions");
	const char *id = task != NULL ? task_id_of(task) : "";
	size_t count = json_array_size(all);

	if (count == 0)
		return;
	if (json_integer_value(json_object_get(task, "waiting")) > 0)
		(void)fprintf(out, "\n%s waits for a person:\n", id);
	else
		(void)fprintf(out, "\n%s: nobody knows how this ended:\n", id);
	for (size_t i = 0; i < count && i < SHOWN_MAX; i++) {
		const json_t *one = json_array_get(all, i);

		if (strcmp(text_of(one, "kind"), "approval") == 0)
			print_approval(id, one, out);
		else
			print_run(id, one, out);
	}
	if (count > SHOWN_MAX)
		(void)fprintf(out,
		    "  and %zu more; without --machine and --step a command "
		    "decides for all\n",
		    count - SHOWN_MAX);
	(void)fflush(out);
}

void print_decisions(const json_t *task, FILE *out)
{
	const json_t *all = json_object_get(task, "decisions");
	json_int_t total =
	    json_integer_value(json_object_get(task, "decision_count"));

	if (total > (json_int_t)json_array_size(all))
		(void)fprintf(out,
		    "\n%lld decisions; of those before these tells the audit",
		    (long long)total);
	for (size_t i = 0; i < json_array_size(all); i++) {
		const json_t *one = json_array_get(all, i);
		const char *run = text_of(one, "run");

		if (i == 0)
			(void)fputc('\n', out);
		output_safe(out, text_of(one, "who"));
		(void)fprintf(out, ": %s", text_of(one, "verb"));
		if (*run != '\0')
			(void)fprintf(out, " %s (attempt %lld)", run,
			    (long long)json_integer_value(
				json_object_get(one, "attempt")));
		if (*text_of(one, "note") != '\0') {
			(void)fputs(": ", out);
			output_safe(out, text_of(one, "note"));
		}
		(void)fputc('\n', out);
	}
}
