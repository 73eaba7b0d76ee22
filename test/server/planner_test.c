#include "server/process/planner.h"

#include "server/process/release_snapshot.h"
#include "test/support/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char shop[] = "project: shop\n"
			   "packages: [shop-web, shop-jobs]\n"
			   "steps:\n"
			   "  - name: roll out\n"
			   "    roles: [web]\n"
			   "    rolling: 2\n"
			   "    max_failures: 1\n"
			   "    steps:\n"
			   "      - name: drain\n"
			   "        run: ./lb-drain.sh\n"
			   "        user: www-data\n"
			   "        memory: 1GiB\n"
			   "        processes: 9\n"
			   "        lock: {name: lb, shared: true}\n"
			   "      - name: install\n"
			   "        deploy: shop-web\n"
			   "        configure: [nginx.conf]\n"
			   "        after: nginx -s reload\n"
			   "        timeout: 5m\n"
			   "  - name: tell\n"
			   "    run: echo ${Version}\n"
			   "variables:\n"
			   "  Greeting: hello from ${Environment} ${Version}\n";

#define DIGEST                                                                 \
	"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static const char *const web[] = { "web" };
static const char *const mail[] = { "mail" };

static const struct plan_machine machines[] = {
	{ "id-1", "web-01", web, 1, true },
	{ "id-2", "mail-01", mail, 1, true },
	{ "id-3", "web-02", web, 1, true },
	{ "id-4", "web-03", web, 1, false },
};

static const struct plan_package packages[] = {
	{ "shop-web", "1.4.0", DIGEST, 1234 },
	{ "shop-jobs", "0.3", DIGEST, 99 },
};

static struct plan_request request_of(size_t machine_count)
{
	return (struct plan_request){ .task = 7,
		.deployment = 12,
		.queue_ms = 300000,
		.environment = "prod",
		.release = "1.4",
		.packages = { packages, 2 },
		.machines = { machines, machine_count } };
}

static struct process *parse(const char *text)
{
	struct process *p;

	assert_int_equal(
	    process_parse("p.yaml", text, strlen(text), &p, NULL), RC_OK);
	return p;
}

static void test_a_block_becomes_stage_then_its_steps(void **state)
{
	const struct plan_request request = request_of(4);
	struct process *p = parse(shop);
	const struct plan_payload *payload;
	const struct task_block *block;
	struct plan *plan;

	(void)state;
	assert_int_equal(planner_deploy(p, &request, &plan, NULL), RC_OK);
	process_free(p);
	assert_string_equal(plan->task->lane, "shop/prod");
	assert_int_equal(plan->task->machine_count, 3);
	assert_int_equal(plan->task->block_count, 2);
	block = &plan->task->blocks[0];
	assert_int_equal(block->window, 2);
	assert_int_equal(block->max_failures, 1);
	assert_int_equal(block->target_count, 2);
	assert_string_equal(
	    plan->task->machines[block->targets[1]].name, "web-02");
	assert_int_equal(block->action_count, 3);
	assert_int_equal(block->actions[0].type, ACTION_TYPE_STAGE);
	assert_string_equal(block->actions[0].name, "stage shop-web 1.4.0");
	assert_int_equal(block->actions[0].queue_ms, 300000);
	assert_string_equal(block->actions[1].name, "drain");
	assert_int_equal(block->actions[2].type, ACTION_TYPE_ACTIVATE);
	assert_int_equal(block->actions[2].timeout_ms, 300000);
	payload = &plan->payloads[block->actions[1].payload];
	assert_string_equal(payload->script, "#!/bin/sh -e\n./lb-drain.sh");
	assert_string_equal(payload->package, "shop-web");
	assert_string_equal(payload->world.user, "www-data");
	assert_int_equal(payload->world.memory, 1 << 30);
	assert_int_equal(payload->world.processes, 9);
	assert_string_equal(payload->world.lock, "lb");
	assert_true(payload->world.lock_shared);
	payload = &plan->payloads[block->actions[2].payload];
	assert_string_equal(payload->digest, DIGEST);
	assert_string_equal(payload->after, "#!/bin/sh -e\nnginx -s reload");
	assert_null(payload->before);
	/* A plain step: everybody at once. */
	assert_int_equal(plan->task->blocks[1].window, 0);
	assert_int_equal(plan->task->blocks[1].target_count, 3);
	plan_free(plan);
}

static void expect_error(
    const char *text, const struct plan_request *request, const char *error)
{
	struct process *p = parse(text);
	struct plan *plan = NULL;
	struct fault fault = { .code = REASON_NONE };

	assert_int_equal(planner_deploy(p, request, &plan, &fault), RC_PROTO);
	assert_string_equal(fault.text, error);
	assert_null(plan);
	process_free(p);
}

static void test_what_is_missing_is_named_with_its_line(void **state)
{
	struct plan_request request = request_of(4);

	(void)state;
	expect_error("project: a\nsteps:\n  - name: x\n    run: y\n"
		     "    roles: [db, cache]\n",
	    &request,
	    "no machine in prod has the role db or cache (step 'x', line 3)");
	request.machines.count = 0;
	expect_error("project: a\nsteps:\n  - {name: x, run: y}\n", &request,
	    "no machine in prod (step 'x', line 3)");
	request.machines = (struct plan_machines){ machines + 3, 1 };
	expect_error(shop, &request,
	    "no enabled machine in prod has the role web (step 'roll out', "
	    "line 4)");
	request = request_of(4);
	request.packages.count = 0;
	expect_error(shop, &request,
	    "the release has no version of the package shop-web, which step "
	    "'install' (line 15) deploys");
}

static void test_an_ad_hoc_script_goes_to_all_whoever_fails(void **state)
{
	const struct plan_request request = request_of(3);
	const struct plan_script script = { .text = "uptime", .window = 5 };
	struct plan *plan;

	(void)state;
	assert_int_equal(planner_script(&script, &request, &plan, NULL), RC_OK);
	assert_int_equal(plan->task->kind, TASK_RUN);
	assert_int_equal(plan->task->blocks[0].target_count, 3);
	assert_int_equal(plan->task->blocks[0].window, 5);
	assert_int_equal(plan->task->blocks[0].max_failures, TASK_ANY_FAILURES);
	assert_string_equal(plan->payloads[0].script, "#!/bin/sh -e\nuptime");
	plan_free(plan);
	assert_int_equal(planner_health(NULL, &request, &plan, NULL), RC_OK);
	assert_int_equal(
	    plan->task->blocks[0].actions[0].type, ACTION_TYPE_HEALTH);
	plan_free(plan);
}

static void test_variables_know_machine_and_version(void **state)
{
	const struct plan_request request = request_of(4);
	struct process *p = parse(shop);
	struct resolved_variables all;
	struct plan *plan;

	(void)state;
	assert_int_equal(planner_deploy(p, &request, &plan, NULL), RC_OK);
	for (size_t i = 0; i < plan->payload_count; i++) {
		assert_int_equal(planner_variables(plan, &plan->payloads[i],
				     &machines[0], &p->variables, &all, NULL),
		    RC_OK);
		assert_string_equal(
		    resolved_variables_find(&all, "Greeting")->value,
		    "hello from prod 1.4.0");
		assert_string_equal(
		    resolved_variables_find(&all, "Task")->value, "task-7");
		resolved_variables_clear(&all);
	}
	plan_free(plan);
	process_free(p);
}

static void test_a_payload_survives_json(void **state)
{
	const struct plan_request request = request_of(4);
	struct process *p = parse(shop);
	struct plan *plan;

	(void)state;
	assert_int_equal(planner_deploy(p, &request, &plan, NULL), RC_OK);
	for (size_t i = 0; i < plan->payload_count; i++) {
		struct plan_payload copy;
		char *one, *two;

		assert_int_equal(
		    plan_payload_to_json(&plan->payloads[i], &one), RC_OK);
		assert_int_equal(
		    plan_payload_from_json(one, strlen(one), &copy, NULL),
		    RC_OK);
		assert_memory_equal(
		    &copy.world, &plan->payloads[i].world, sizeof(copy.world));
		assert_int_equal(plan_payload_to_json(&copy, &two), RC_OK);
		assert_string_equal(one, two);
		for (size_t len = 0; len < strlen(one); len++) {
			struct plan_payload cut;

			assert_int_equal(
			    plan_payload_from_json(one, len, &cut, NULL),
			    RC_PROTO);
		}
		plan_payload_fini(&copy);
		free(one);
		free(two);
	}
	plan_free(plan);
	process_free(p);
}

static void test_a_payload_without_its_parts_is_refused(void **state)
{
	static const char *const bad[] = { "[]", "{}", "{\"type\":\"x\"}",
		"{\"type\":\"script\",\"name\":\"a\"}",
		"{\"type\":\"stage\",\"name\":\"a\",\"package\":\"b\"}",
		"{\"type\":\"health\"}", "{\"type\":\"health\",\"name\":3}",
		"{\"type\":\"health\",\"name\":\"a\",\"size\":-1}",
		"{\"type\":\"health\",\"name\":\"a\",\"configure\":[3]}",
		"{\"type\":\"health\",\"name\":\"a\\u0000b\"}" };
	struct plan_payload payload;
	struct fault fault;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fault_clear(&fault);
		assert_int_equal(plan_payload_from_json(
				     bad[i], strlen(bad[i]), &payload, &fault),
		    RC_PROTO);
		assert_true(fault.text[0] != '\0');
	}
}

static void test_no_memory_leaves_no_half_plan(void **state)
{
	const struct plan_request request = request_of(4);
	struct process *p = parse(shop);
	struct plan *plan = NULL;
	enum rc rc;

	(void)state;
	for (size_t n = 0;; n++) {
		alloc_fail_at(n);
		rc = planner_deploy(p, &request, &plan, NULL);
		if (!alloc_failed())
			break;
		assert_int_equal(rc, RC_NOMEM);
	}
	alloc_never_fail();
	assert_int_equal(rc, RC_OK);
	plan_free(plan);
	process_free(p);
}

static void test_a_snapshot_survives_json_and_is_checked(void **state)
{
	char project[] = "shop", version[] = "1.4", name[] = "Pw",
	     role[] = "db";
	char value[] = "wrapped-text", package[] = "shop-web",
	     number[] = "1.4.0";
	char digest[] = DIGEST, text[] = "project: shop\n";
	struct variable variable = {
		.name = name, .value = value, .sensitive = true, .role = role
	};
	struct release_package chosen = { package, number, digest, 5 };
	struct release_snapshot s = { .project = project,
		.version = version,
		.process = text,
		.variables = { &variable, 1 },
		.packages = &chosen,
		.package_count = 1 };
	struct release_snapshot *copy = NULL;
	struct process *p = parse(shop);
	struct fault fault;
	char *one, *two;

	(void)state;
	assert_int_equal(release_snapshot_build(&s, &one), RC_DENIED);
	variable.wrapped = true;
	assert_int_equal(release_snapshot_build(&s, &one), RC_OK);
	assert_int_equal(
	    release_snapshot_parse(one, strlen(one), &copy, NULL), RC_OK);
	assert_int_equal(release_snapshot_build(copy, &two), RC_OK);
	assert_string_equal(one, two);
	assert_true(copy->variables.items[0].wrapped);
	assert_string_equal(copy->packages[0].digest, DIGEST);
	assert_int_equal(release_snapshot_check(copy, p, &fault), RC_PROTO);
	assert_string_equal(fault.text,
	    "no version of the package shop-jobs is chosen: --package "
	    "shop-jobs=VERSION");
	release_snapshot_free(copy);
	copy = NULL;
	for (size_t len = 0; len < strlen(one); len++)
		assert_int_equal(
		    release_snapshot_parse(one, len, &copy, NULL), RC_PROTO);
	assert_null(copy);
	free(one);
	free(two);
	process_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_block_becomes_stage_then_its_steps),
		cmocka_unit_test(test_what_is_missing_is_named_with_its_line),
		cmocka_unit_test(
		    test_an_ad_hoc_script_goes_to_all_whoever_fails),
		cmocka_unit_test(test_variables_know_machine_and_version),
		cmocka_unit_test(test_a_payload_survives_json),
		cmocka_unit_test(test_a_payload_without_its_parts_is_refused),
		cmocka_unit_test(test_no_memory_leaves_no_half_plan),
		cmocka_unit_test(test_a_snapshot_survives_json_and_is_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
