#include "common/command.h"
#include "test/support/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const struct command_option run_options[] = {
	{ .name = "role",
	    .letter = 'r',
	    .argument = "ROLE",
	    .repeated = true,
	    .help = "Machines with this role" },
	{ .name = "environment", .argument = "NAME", .help = "In it" },
	{ .name = "wait", .letter = 'w', .help = "Wait for the end" },
	{ .name = "quiet", .letter = 'q', .help = "Say less" },
};

static const struct command_option deploy_options[] = {
	{ .name = "release",
	    .argument = "VERSION",
	    .required = true,
	    .help = "Which" },
	{ .name = "to",
	    .argument = "ENVIRONMENT",
	    .required = true,
	    .help = "Where" },
};

static const struct command_option all_options[] = {
	{ .name = "output",
	    .letter = 'o',
	    .argument = "FORMAT",
	    .choices = "table|json",
	    .help = "How to print" },
};

static enum command_exit run_it(const struct command_line *line)
{
	return command_has(line, "wait") ? COMMAND_TASK_FAILED : COMMAND_OK;
}

static const struct command commands[] = {
	{ .name = "run",
	    .arguments = "-- SCRIPT...",
	    .help = "Run a script",
	    .details = "Sends it to every machine.\n\n.Looks like roff.",
	    .examples = "longarm run --role web -- 'uptime'",
	    .options = run_options,
	    .option_count = sizeof(run_options) / sizeof(run_options[0]),
	    .run = run_it },
	{ .name = "machine list",
	    .arguments = "[MACHINE...]",
	    .help = "List machines",
	    .run = run_it },
	{ .name = "machine show",
	    .arguments = "MACHINE",
	    .help = "Show one",
	    .run = run_it },
	{ .name = "route explain path",
	    .arguments = "MACHINE [RELAY]",
	    .help = "Three words",
	    .run = run_it },
	{ .name = "deploy",
	    .arguments = "PROJECT",
	    .help = "Deploy",
	    .options = deploy_options,
	    .option_count = sizeof(deploy_options) / sizeof(deploy_options[0]),
	    .run = run_it },
	{ .name = "secret",
	    .help = "Nobody sees it",
	    .hidden = true,
	    .run = run_it },
};

static const struct command_table table = {
	.program = "longarm",
	.about = "deploys software",
	.commands = commands,
	.command_count = sizeof(commands) / sizeof(commands[0]),
	.options = all_options,
	.option_count = sizeof(all_options) / sizeof(all_options[0]),
};

#define WORDS_MAX 20

static struct command_line *line;
static struct fault fault;
static char text[256];

static int setup(void **state)
{
	(void)state;
	line = NULL;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	command_line_free(line);
	return 0;
}

/* Split at blanks: no test needs a blank in a word. */
static int split(const char *words, char **argv)
{
	char *at = text;
	int argc = 0;

	(void)snprintf(text, sizeof(text), "longarm %s", words);
	while (argc < WORDS_MAX && (argv[argc] = strsep(&at, " ")) != NULL)
		argc++;
	return argc;
}

static enum rc parse(const char *words)
{
	char *argv[WORDS_MAX + 1];
	int argc = split(words, argv);

	command_line_free(line);
	line = NULL;
	fault_clear(&fault);
	return command_parse(&table, argc, argv, &line, &fault);
}

static void expect_fault(const char *words, const char *message)
{
	assert_int_equal(parse(words), RC_PROTO);
	assert_string_equal(fault.text, message);
}

static int run(const char *words)
{
	char *argv[WORDS_MAX + 1];
	int argc = split(words, argv);

	return command_main(&table, argc, argv);
}

static void test_options_and_arguments_may_be_mixed(void **state)
{
	(void)state;
	assert_int_equal(
	    parse("run --role web a -r=x --role=db -wq b -ojson"), RC_OK);
	assert_string_equal(command_line_command(line)->name, "run");
	assert_int_equal(command_value_count(line, "role"), 3);
	assert_string_equal(command_value_at(line, "role", 0), "web");
	assert_string_equal(command_value_at(line, "role", 1), "=x");
	assert_string_equal(command_value(line, "role"), "db");
	assert_null(command_value_at(line, "role", 3));
	assert_true(command_has(line, "wait"));
	assert_true(command_has(line, "quiet"));
	assert_false(command_has(line, "environment"));
	assert_null(command_value(line, "environment"));
	assert_null(command_value(line, "no-such-option"));
	assert_string_equal(command_value(line, "output"), "json");
	assert_int_equal(command_argument_count(line), 2);
	assert_string_equal(command_argument(line, 1), "b");
	assert_null(command_argument(line, 2));
}

static void test_after_two_dashes_all_are_arguments(void **state)
{
	(void)state;
	assert_int_equal(parse("run -w -- ls -l -- --help"), RC_OK);
	assert_int_equal(command_argument_count(line), 4);
	assert_string_equal(command_argument(line, 1), "-l");
	assert_string_equal(command_argument(line, 2), "--");
	assert_string_equal(command_argument(line, 3), "--help");
	assert_int_equal(parse("run -"), RC_OK);
	assert_string_equal(command_argument(line, 0), "-");
}

static void test_a_command_has_up_to_three_words(void **state)
{
	(void)state;
	assert_int_equal(parse("machine list"), RC_OK);
	assert_int_equal(parse("machine list a b c"), RC_OK);
	assert_int_equal(parse("-o json machine show a"), RC_OK);
	assert_string_equal(command_argument(line, 0), "a");
	assert_int_equal(parse("route explain path m"), RC_OK);
	assert_int_equal(parse("route explain path m relay"), RC_OK);
	assert_string_equal(
	    command_line_command(line)->name, "route explain path");
}

static void test_a_mistyped_command_names_the_nearest(void **state)
{
	(void)state;
	expect_fault(
	    "machin list", "unknown command 'machin'; did you mean 'machine'?");
	expect_fault("machine lits",
	    "unknown command 'machine lits'; did you mean 'list'?");
	expect_fault(
	    "machine", "what shall be done with machine? One of: list, show");
	expect_fault("route explain",
	    "what shall be done with route explain? One of: path");
	expect_fault("quux", "unknown command 'quux'");
	expect_fault("secre", "unknown command 'secre'");
}

static void test_a_mistyped_option_names_the_nearest(void **state)
{
	(void)state;
	expect_fault(
	    "run --rol web x", "unknown option --rol; did you mean '--role'?");
	expect_fault("run --enviroment=prod x",
	    "unknown option --enviroment; did you mean '--environment'?");
	expect_fault("run -z x", "unknown option -z");
	expect_fault("machine list --wait", "unknown option --wait");
}

static void test_values_are_checked(void **state)
{
	(void)state;
	expect_fault("run x --role", "--role needs ROLE");
	expect_fault("run x -r", "--role needs ROLE");
	expect_fault("run x --wait=yes", "--wait takes no value");
	expect_fault("run x -w -w", "--wait was given twice");
	expect_fault("run x --environment a --environment b",
	    "--environment was given twice");
	expect_fault("run x -o yaml", "--output: 'yaml' is none of table|json");
	expect_fault("run x -o tab", "--output: 'tab' is none of table|json");
}

static void test_missing_and_surplus_words_are_refused(void **state)
{
	(void)state;
	expect_fault("machine show", "machine show needs MACHINE");
	expect_fault("machine show a b",
	    "machine show takes only MACHINE; 'b' is too much");
	expect_fault("run", "run needs -- SCRIPT...");
	expect_fault("deploy shop --to prod", "deploy needs --release VERSION");
	expect_fault("secret x", "secret takes no argument; 'x' is too much");
	assert_int_equal(parse("deploy shop --release 1 --to prod"), RC_OK);
}

static void test_without_memory_it_says_so(void **state)
{
	enum rc rc;

	(void)state;
	for (size_t n = 0;; n++) {
		alloc_fail_at(n);
		rc = parse("run --role web x");
		if (!alloc_failed())
			break;
		assert_int_equal(rc, RC_NOMEM);
	}
	alloc_never_fail();
	assert_int_equal(rc, RC_OK);
}

static void test_the_exit_code_is_that_of_the_command(void **state)
{
	(void)state;
	assert_int_equal(run("run x"), COMMAND_OK);
	assert_int_equal(run("run --wait x"), COMMAND_TASK_FAILED);
	assert_int_equal(run("run --wiat x"), COMMAND_USAGE);
	assert_int_equal(run("version"), COMMAND_OK);
	assert_int_equal(run("--version"), COMMAND_OK);
	assert_int_equal(run("help"), COMMAND_OK);
	assert_int_equal(run("help machine"), COMMAND_OK);
	assert_int_equal(run("help quux"), COMMAND_USAGE);
	assert_int_equal(run("machine --help"), COMMAND_OK);
	assert_int_equal(run("deploy --help"), COMMAND_OK);
	assert_int_equal(run("completion tcsh"), COMMAND_USAGE);
}

/* What print() writes; the caller frees it. */
static char *help_of(const char *prefix)
{
	char *printed = NULL;
	size_t len;
	FILE *f = open_memstream(&printed, &len);

	assert_non_null(f);
	command_print_help(&table, prefix, f);
	assert_int_equal(fclose(f), 0);
	return printed;
}

static void test_help_of_a_command_shows_all_of_it(void **state)
{
	char *help = help_of("run");

	(void)state;
	assert_string_equal(help,
	    "Run a script\n"
	    "\n"
	    "Usage: longarm run [OPTIONS] -- SCRIPT...\n"
	    "\n"
	    "Sends it to every machine.\n"
	    "\n"
	    ".Looks like roff.\n"
	    "\n"
	    "Options:\n"
	    "  -r, --role ROLE           Machines with this role (may be "
	    "repeated)\n"
	    "      --environment NAME    In it\n"
	    "  -w, --wait                Wait for the end\n"
	    "  -q, --quiet               Say less\n"
	    "  -o, --output FORMAT       How to print (table|json)\n"
	    "  -h, --help                Show this\n"
	    "\n"
	    "Examples:\n"
	    "  longarm run --role web -- 'uptime'\n");
	free(help);
}

static void test_help_of_the_program_groups_by_noun(void **state)
{
	char *help = help_of(NULL);

	(void)state;
	assert_non_null(
	    strstr(help, "  machine                   list, show\n"));
	assert_non_null(strstr(help, "  deploy                    Deploy\n"));
	assert_null(strstr(help, "secret"));
	free(help);
	help = help_of("machine");
	assert_non_null(
	    strstr(help, "  machine list              List machines\n"));
	assert_null(strstr(help, "deploy"));
	free(help);
}

static void test_the_man_page_hides_nothing_from_roff(void **state)
{
	char *page = NULL;
	size_t len;
	FILE *f = open_memstream(&page, &len);

	(void)state;
	assert_non_null(f);
	command_print_man(&table, f);
	assert_int_equal(fclose(f), 0);
	assert_memory_equal(page, ".TH \"longarm\" 1", 15);
	assert_non_null(strstr(page, "\n\\&.Looks like roff."));
	assert_non_null(strstr(page, "\\-\\-environment NAME"));
	assert_null(strstr(page, "secret"));
	free(page);
}

/* Ask bash what it would offer after these words. */
static void complete_with_bash(
    const char *words, const char *word, char *out, size_t size)
{
	char *script = NULL;
	size_t len;
	int fds[2], status;
	ssize_t n;
	FILE *f = open_memstream(&script, &len);
	pid_t pid;

	assert_non_null(f);
	assert_int_equal(command_print_completion(&table, "bash", f), RC_OK);
	(void)fprintf(f,
	    "COMP_WORDS=(longarm %s '%s')\n"
	    "COMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n"
	    "_longarm\necho \"${COMPREPLY[*]}\"\n",
	    words, word);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)dup2(fds[1], 1);
		(void)execlp("bash", "bash", "--norc", "-c", script, NULL);
		_exit(127);
	}
	(void)close(fds[1]);
	n = read(fds[0], out, size - 1);
	out[n > 0 ? n : 0] = '\0';
	(void)close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	free(script);
}

static void test_bash_completes_commands_options_and_choices(void **state)
{
	char offered[512];

	(void)state;
	complete_with_bash("", "ma", offered, sizeof(offered));
	assert_string_equal(offered, "machine man\n");
	complete_with_bash("machine", "", offered, sizeof(offered));
	assert_string_equal(offered, "list show\n");
	complete_with_bash("run --wait", "--r", offered, sizeof(offered));
	assert_string_equal(offered, "--role\n");
	complete_with_bash("-w route explain", "", offered, sizeof(offered));
	assert_string_equal(offered, "path\n");
	complete_with_bash("machine list -o", "", offered, sizeof(offered));
	assert_string_equal(offered, "table json\n");
}

static void test_every_shell_has_a_script(void **state)
{
	static const char *const shells[] = { "bash", "zsh", "fish" };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		char *script = NULL;
		size_t len;
		FILE *f = open_memstream(&script, &len);

		assert_non_null(f);
		assert_int_equal(
		    command_print_completion(&table, shells[i], f), RC_OK);
		assert_int_equal(fclose(f), 0);
		assert_non_null(strstr(script, "machine list"));
		free(script);
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_options_and_arguments_may_be_mixed),
		T(test_after_two_dashes_all_are_arguments),
		T(test_a_command_has_up_to_three_words),
		T(test_a_mistyped_command_names_the_nearest),
		T(test_a_mistyped_option_names_the_nearest),
		T(test_values_are_checked),
		T(test_missing_and_surplus_words_are_refused),
		T(test_without_memory_it_says_so),
		T(test_the_exit_code_is_that_of_the_command),
		T(test_help_of_a_command_shows_all_of_it),
		T(test_help_of_the_program_groups_by_noun),
		T(test_the_man_page_hides_nothing_from_roff),
		T(test_bash_completes_commands_options_and_choices),
		T(test_every_shell_has_a_script),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
