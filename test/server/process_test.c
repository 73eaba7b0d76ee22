#include "server/process/process.h"

#include "test/support/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char shop[] =
    "project: shop\n"
    "package: shop-web\n"
    "steps:\n"
    "  - name: roll out\n"
    "    roles: [web]\n"
    "    rolling: 2            # machines inside the block at a time\n"
    "    max_failures: 0\n"
    "    steps:\n"
    "      - name: drain\n"
    "        run: ./lb-drain.sh\n"
    "      - name: install\n"
    "        deploy: shop-web\n"
    "        configure: [config/*.json, nginx.conf]\n"
    "        after: nginx -s reload\n"
    "        timeout: 5m\n"
    "      - name: smoke test\n"
    "        run: |\n"
    "          curl -fsS http://localhost:8080/healthz\n"
    "  - name: tell everybody\n"
    "    run: ./mail.sh\n"
    "variables:\n"
    "  Greeting: { value: \"hello from ${Environment}\", scope: { environment: "
    "prod } }\n"
    "  Port: [ { value: 80 }, { value: 8080, scope: { role: test } } ]\n"
    "  DbPassword: { sensitive: true }\n";

static void test_the_file_of_the_handbook_is_read_whole(void **state)
{
	const struct process_block *block;
	struct process *p;

	(void)state;
	assert_int_equal(
	    process_parse("p.yaml", shop, strlen(shop), &p, NULL), RC_OK);
	assert_string_equal(p->project, "shop");
	assert_int_equal(p->packages.count, 1);
	assert_int_equal(p->block_count, 2);
	block = &p->blocks[0];
	assert_string_equal(block->name, "roll out");
	assert_string_equal(block->roles.items[0], "web");
	assert_int_equal(block->rolling, 2);
	assert_int_equal(block->step_count, 3);
	assert_string_equal(block->steps[0].run, "./lb-drain.sh");
	assert_string_equal(block->steps[0].package, "shop-web");
	assert_int_equal(block->steps[0].timeout_ms, PROCESS_TIMEOUT_MS);
	assert_int_equal(block->steps[1].type, PROCESS_STEP_DEPLOY);
	assert_int_equal(block->steps[1].configure.count, 2);
	assert_string_equal(block->steps[1].after, "nginx -s reload");
	assert_int_equal(block->steps[1].timeout_ms, 300000);
	assert_string_equal(
	    block->steps[2].run, "curl -fsS http://localhost:8080/healthz\n");
	assert_int_equal(p->variables.count, 4);
	assert_true(p->variables.items[3].sensitive);
	assert_null(p->variables.items[3].value);
	process_free(p);
}

static void test_a_plain_step_is_a_block_of_its_own(void **state)
{
	struct process *p;

	(void)state;
	assert_int_equal(
	    process_parse("p.yaml", shop, strlen(shop), &p, NULL), RC_OK);
	assert_string_equal(p->blocks[1].name, "tell everybody");
	assert_int_equal(p->blocks[1].rolling, 0);
	assert_int_equal(p->blocks[1].roles.count, 0);
	assert_int_equal(p->blocks[1].step_count, 1);
	assert_string_equal(p->blocks[1].steps[0].name, "tell everybody");
	process_free(p);
}

static void test_how_a_script_runs_is_read(void **state)
{
	static const char text[] =
	    "project: shop\nsteps:\n"
	    "  - name: one\n    run: ./one\n    user: www-data\n"
	    "    memory: 256MiB\n    processes: 64\n    lock: apt\n"
	    "  - name: two\n    run: ./two\n"
	    "    lock: { name: apt, shared: true }\n";
	const struct script_world *w;
	struct process *p;

	(void)state;
	assert_int_equal(
	    process_parse("p.yaml", text, strlen(text), &p, NULL), RC_OK);
	w = &p->blocks[0].steps[0].world;
	assert_string_equal(w->user, "www-data");
	assert_int_equal(w->memory, 256 << 20);
	assert_int_equal(w->processes, 64);
	assert_string_equal(w->lock, "apt");
	assert_false(w->lock_shared);
	w = &p->blocks[1].steps[0].world;
	assert_string_equal(w->user, "");
	assert_int_equal(w->memory, 0);
	assert_string_equal(w->lock, "apt");
	assert_true(w->lock_shared);
	process_free(p);
}

static void test_what_waits_for_a_person_is_read(void **state)
{
	static const char text[] =
	    "project: shop\nguided: true\ntime_limit: 2h\nsteps:\n"
	    "  - name: sign-off\n    approve: Are the backups done?\n"
	    "  - name: go\n    run: ./go\n    retries: 3\n"
	    "    rerun-safe: true\n";
	struct process *p;

	(void)state;
	assert_int_equal(
	    process_parse("p.yaml", text, strlen(text), &p, NULL), RC_OK);
	assert_true(p->guided);
	assert_int_equal(p->time_limit_ms, 7200000);
	assert_string_equal(p->blocks[0].approve, "Are the backups done?");
	assert_int_equal(p->blocks[0].step_count, 0);
	assert_null(p->blocks[1].approve);
	assert_int_equal(p->blocks[1].steps[0].retries, 3);
	assert_true(p->blocks[1].steps[0].rerun_safe);
	process_free(p);
	assert_int_equal(
	    process_parse("p.yaml", shop, strlen(shop), &p, NULL), RC_OK);
	assert_false(p->guided);
	assert_int_equal(p->time_limit_ms, 0);
	assert_false(p->blocks[0].steps[0].rerun_safe);
	process_free(p);
}

#define HEAD "project: shop\npackage: web\nsteps:\n"

static const struct {
	const char *text, *error;
} wrong[] = {
	{ "", "p.yaml:1:1: the file is empty" },
	{ "project: [\n", "p.yaml:2:1: did not find expected node content" },
	{ "- a\n", "p.yaml:1:1: a process file must be `key: value` lines" },
	{ "project: shop\n", "p.yaml:1:1: `steps:` is missing" },
	{ "steps: []\n", "p.yaml:1:1: `project:` is missing" },
	{ "projekt: shop\n",
	    "p.yaml:1:1: a process file has no key 'projekt'; did you mean "
	    "'project'?" },
	{ "project: a\nproject: b\n", "p.yaml:2:1: 'project' is there twice" },
	{ "project: a/b\nsteps: []\n",
	    "p.yaml:1:10: project 'a/b' is not a name" },
	{ "project: a\npackage: a\npackages: [b]\nsteps: []\n",
	    "p.yaml:3:11: say either `package` or `packages`" },
	{ "project: a\npackages: [b, b]\nsteps: []\n",
	    "p.yaml:2:15: 'b' is there twice" },
	{ "project: a\npackages: {}\nsteps: []\n",
	    "p.yaml:2:11: packages must be a list" },
	{ "project: a\nsteps: x\n", "p.yaml:2:8: steps must be a list" },
	{ "project: a\nsteps: []\n", "p.yaml:2:8: steps must be a list" },
	{ "project: &a x\n", "p.yaml:1:10: anchors (&)" },
	{ "project: x\nsteps: *a\n", "p.yaml:2:8: anchors (&) and aliases" },
	{ "project: !!str x\n", "p.yaml:1:10: tags (!)" },
	{ "project: a\n---\nb: c\n", "p.yaml:2:1: only one document" },
	{ "a: [[[[[[[[[[[[[[]]]]]]]]]]]]]]\n", "p.yaml:1:15: nested too deep" },
	{ "project: \"a\\0b\"\nsteps: x\n", "p.yaml:1:10: project has a NUL" },
	{ HEAD "  - run: x\n", "p.yaml:4:5: a step needs a `name:`" },
	{ HEAD "  - name: x\n",
	    "p.yaml:4:5: step 'x' must say either `run:`, `deploy:` or `approve:`" },
	{ HEAD "  - name: x\n    run: y\n    deploy: web\n",
	    "p.yaml:4:5: step 'x' must say either" },
	{ HEAD "  - name: x\n    rum: y\n",
	    "p.yaml:5:5: a step has no key 'rum'; did you mean 'run'?" },
	{ HEAD "  - name: x\n    run:\n", "p.yaml:5:9: run is empty" },
	{ HEAD "  - name: x\n    run: [a]\n", "p.yaml:5:10: run must be text" },
	{ HEAD "  - name: \"x\\n\"\n    run: y\n",
	    "p.yaml:4:11: name must be one line" },
	{ HEAD "  - name: x\n    deploy: wep\n",
	    "p.yaml:5:13: 'wep' is not a package of this project; did you mean "
	    "'web'?" },
	{ HEAD "  - name: x\n    run: y\n    package: other\n",
	    "p.yaml:6:14: 'other' is not a package of this project; name it" },
	{ HEAD "  - name: x\n    deploy: web\n    package: web\n",
	    "p.yaml:6:14: `deploy` names the package already" },
	{ HEAD "  - name: x\n    run: y\n    after: z\n",
	    "p.yaml:6:12: `after` needs `deploy`, not `run`" },
	{ HEAD "  - name: x\n    run: y\n    timeout: 5 minutes\n",
	    "p.yaml:6:14: timeout '5 minutes' is not a time" },
	{ HEAD "  - name: x\n    run: y\n    timeout: 8d\n",
	    "p.yaml:6:14: timeout '8d' is not a time" },
	{ HEAD "  - name: x\n    run: y\n    interpreter: bash\n",
	    "p.yaml:6:18: interpreter must be an absolute path" },
	{ HEAD "  - name: x\n    run: y\n    rolling: 0\n",
	    "p.yaml:6:14: rolling must be at least 1" },
	{ HEAD "  - name: x\n    run: y\n    rolling: -1\n",
	    "p.yaml:6:14: rolling must be a number from 0 to 100000" },
	{ HEAD "  - name: x\n    run: y\n    max_failures: 99999999999\n",
	    "p.yaml:6:19: max_failures has 11 bytes" },
	{ HEAD "  - name: x\n    run: y\n  - name: x\n    run: y\n",
	    "p.yaml:6:5: there is a step named 'x' already in line 4" },
	{ HEAD "  - name: x\n    run: y\n    steps: []\n",
	    "p.yaml:5:10: `run` is for the steps inside" },
	{ HEAD "  - name: x\n    steps: []\n",
	    "p.yaml:5:12: steps must be a list of 1 to 32" },
	{ HEAD "  - name: x\n    steps:\n      - name: y\n        run: z\n"
	       "        roles: [a]\n",
	    "p.yaml:8:16: `roles` is for the step around this one" },
	{ HEAD "  - name: x\n    steps:\n      - {name: y, run: z}\n"
	       "      - {name: y, run: z}\n",
	    "p.yaml:7:9: there is a step named 'y' already in line 6" },
	{ HEAD "  - name: x\n    run: y\n    retries: 11\n",
	    "p.yaml:6:14: retries must be a number from 0 to 10" },
	{ HEAD "  - name: x\n    run: y\n    rerun-safe: yes\n",
	    "p.yaml:6:17: rerun-safe must be true or false, not 'yes'" },
	{ HEAD "  - name: x\n    approve: y\n    roles: [a]\n",
	    "p.yaml:6:12: `roles` does not go with `approve`" },
	{ HEAD "  - name: x\n    approve: \"a\\nb\"\n",
	    "p.yaml:5:14: approve must be one line" },
	{ HEAD "  - name: x\n    approve: y\n",
	    "p.yaml:4:5: 'x' asks for an approval, but no step comes after" },
	{ HEAD "  - name: x\n    steps:\n      - {name: y, approve: z}\n",
	    "p.yaml:6:28: `approve` is for the step around this one" },
	{ HEAD "  - {name: x, run: y, memory: lots}\n",
	    "p.yaml:4:31: memory 'lots' is not a size" },
	{ HEAD "  - {name: x, run: y, memory: 1MiB}\n",
	    "p.yaml:4:5: memory: a limit is from 4MiB" },
	{ HEAD "  - {name: x, run: y, processes: 0}\n",
	    "p.yaml:4:34: processes must be at least 1" },
	{ HEAD "  - {name: x, run: y, user: -x}\n",
	    "p.yaml:4:5: user: '-x' is not the name of a user" },
	{ HEAD "  - {name: x, run: y, lock: a b}\n",
	    "p.yaml:4:5: lock: 'a b' is not a name" },
	{ HEAD "  - {name: x, run: y, lock: {shared: true}}\n",
	    "p.yaml:4:29: a lock needs a `name:`" },
	{ HEAD "  - name: x\n    user: u\n    steps:\n"
	       "      - {name: y, run: z}\n",
	    "p.yaml:5:11: `user` is for the steps inside" },
	{ "guided: maybe\n" HEAD "  - {name: x, run: y}\n",
	    "p.yaml:1:9: guided must be true or false" },
	{ "time_limit: long\n" HEAD "  - {name: x, run: y}\n",
	    "p.yaml:1:13: time_limit 'long' is not a time" },
	{ HEAD "  - {name: x, run: y}\nvariables: 3\n",
	    "p.yaml:5:12: variables must be" },
	{ HEAD "  - {name: x, run: y}\nvariables:\n  9a: b\n",
	    "p.yaml:6:7: '9a' is no name for a variable" },
	{ HEAD "  - {name: x, run: y}\nvariables:\n  Machine: b\n",
	    "p.yaml:6:12: Machine is set by Longarm itself" },
	{ HEAD "  - {name: x, run: y}\nvariables:\n  A: b\n  A: c\n",
	    "p.yaml:7:3: 'A' is there twice" },
	{ HEAD "  - {name: x, run: y}\nvariables:\n  A: {}\n",
	    "p.yaml:6:6: A needs `value:` or `sensitive: true`" },
	{ HEAD "  - {name: x, run: y}\nvariables:\n  A: []\n",
	    "p.yaml:6:6: A has no value" },
	{ HEAD "  - {name: x, run: y}\nvariables:\n  A: {sensitive: yes}\n",
	    "p.yaml:6:18: sensitive must be true or false" },
	{ HEAD "  - {name: x, run: y}\nvariables:\n"
	       "  A: {sensitive: true, value: x}\n",
	    "p.yaml:6:31: A is sensitive: keep its value out of this file" },
	{ HEAD "  - {name: x, run: y}\nvariables:\n"
	       "  A: {value: x, scope: {host: b}}\n",
	    "p.yaml:6:25: a scope has no key 'host'" },
	{ HEAD "  - {name: x, run: y}\nvariables:\n"
	       "  A: [{value: x}, {value: y}]\n",
	    "p.yaml:6:19: A has a value for the same scope already" },
};

static void test_each_error_names_file_line_and_column(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct process *p = NULL;
		struct fault fault = { .code = REASON_NONE };
		enum rc rc = process_parse(
		    "p.yaml", wrong[i].text, strlen(wrong[i].text), &p, &fault);

		if (rc != RC_PROTO || strncmp(fault.text, wrong[i].error,
					  strlen(wrong[i].error)) != 0)
			fail_msg("%zu: expected \"%s\", got %s \"%s\"", i,
			    wrong[i].error, rc_name(rc), fault.text);
		assert_null(p);
	}
}

static void test_a_file_above_the_limits_is_refused(void **state)
{
	size_t size = PROCESS_BYTES_MAX + 1;
	char *text = malloc(size);
	struct process *p = NULL;
	struct fault fault;

	(void)state;
	assert_non_null(text);
	memset(text, '#', size);
	assert_int_equal(
	    process_parse("p.yaml", text, size, &p, &fault), RC_PROTO);
	assert_non_null(strstr(fault.text, "at most 262144"));
	for (size_t i = 0; i + 1 < PROCESS_BYTES_MAX; i += 2)
		memcpy(text + i, i == 0 ? "[ " : "a,", 2);
	assert_int_equal(
	    process_parse("p.yaml", text, PROCESS_BYTES_MAX, &p, &fault),
	    RC_PROTO);
	assert_non_null(strstr(fault.text, "too many values"));
	free(text);
}

static void test_a_file_cut_anywhere_does_no_harm(void **state)
{
	(void)state;
	for (size_t len = 0; len < strlen(shop); len++) {
		char *copy = malloc(len + 1);
		struct process *p = NULL;
		struct fault fault;
		enum rc rc;

		assert_non_null(copy);
		memcpy(copy, shop, len);
		rc = process_parse("p.yaml", copy, len, &p, &fault);
		if (rc == RC_OK)
			process_free(p);
		else
			assert_int_equal(rc, RC_PROTO);
		free(copy);
	}
}

static void test_no_memory_at_any_allocation_is_told(void **state)
{
	struct process *p = NULL;
	enum rc rc;
	size_t n;

	(void)state;
	for (n = 0;; n++) {
		alloc_fail_at(n);
		rc = process_parse("p.yaml", shop, strlen(shop), &p, NULL);
		if (!alloc_failed())
			break;
		assert_int_equal(rc, RC_NOMEM);
	}
	alloc_never_fail();
	assert_int_equal(rc, RC_OK);
	assert_true(n > 2);
	process_free(p);
}

static void test_a_script_gets_a_first_line_unless_it_has_one(void **state)
{
	char *body;

	(void)state;
	assert_int_equal(process_script_body("true\n", NULL, &body), RC_OK);
	assert_string_equal(body, "#!/bin/sh -e\ntrue\n");
	free(body);
	assert_int_equal(
	    process_script_body("true\n", "/bin/bash", &body), RC_OK);
	assert_string_equal(body, "#!/bin/bash\ntrue\n");
	free(body);
	assert_int_equal(
	    process_script_body("#!/usr/bin/perl\n", "/bin/bash", &body),
	    RC_OK);
	assert_string_equal(body, "#!/usr/bin/perl\n");
	free(body);
}

static void test_durations_have_units_and_bounds(void **state)
{
	static const char *const bad[] = { "", "0", "s", "1w", "-1", "1.5m",
		"8d", "99999999999999999999", "5m5s", " 5" };
	uint64_t ms;

	(void)state;
	assert_int_equal(process_duration_parse("90", &ms), RC_OK);
	assert_int_equal(ms, 90000);
	assert_int_equal(process_duration_parse("2h", &ms), RC_OK);
	assert_int_equal(ms, 7200000);
	assert_int_equal(process_duration_parse("7d", &ms), RC_OK);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(process_duration_parse(bad[i], &ms), RC_PROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_file_of_the_handbook_is_read_whole),
		cmocka_unit_test(test_a_plain_step_is_a_block_of_its_own),
		cmocka_unit_test(test_how_a_script_runs_is_read),
		cmocka_unit_test(test_what_waits_for_a_person_is_read),
		cmocka_unit_test(test_each_error_names_file_line_and_column),
		cmocka_unit_test(test_a_file_above_the_limits_is_refused),
		cmocka_unit_test(test_a_file_cut_anywhere_does_no_harm),
		cmocka_unit_test(test_no_memory_at_any_allocation_is_told),
		cmocka_unit_test(
		    test_a_script_gets_a_first_line_unless_it_has_one),
		cmocka_unit_test(test_durations_have_units_and_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
