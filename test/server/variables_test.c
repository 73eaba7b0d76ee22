#include "server/process/variables.h"

#include "test/support/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const roles[] = { "web", "edge" };

static const struct variable_context here = { .project = "shop",
	.environment = "prod",
	.machine = "web-01",
	.release = "1.4",
	.deployment = "12",
	.task = "task-3",
	.roles = roles,
	.role_count = 2 };

/* As struct variable, for texts that are not ours to change. */
struct given {
	const char *name, *value, *environment, *machine, *role;
	bool sensitive, wrapped;
	uint32_t line;
};

static char *copy(const char *text)
{
	return text != NULL ? strdup(text) : NULL;
}

static void add(struct variable_set *set, struct given g)
{
	struct variable v = { .name = copy(g.name),
		.value = copy(g.value),
		.environment = copy(g.environment),
		.machine = copy(g.machine),
		.role = copy(g.role),
		.sensitive = g.sensitive,
		.wrapped = g.wrapped,
		.line = g.line };

	assert_int_equal(variable_set_add(set, &v, NULL), RC_OK);
	free(v.name);
	free(v.value);
	free(v.environment);
	free(v.machine);
	free(v.role);
}

static void expect(
    const struct variable_set *set, const char *name, const char *value)
{
	struct resolved_variables all;
	const struct resolved_variable *v;

	assert_int_equal(
	    variables_resolve(set, &here, NULL, &all, NULL), RC_OK);
	v = resolved_variables_find(&all, name);
	if (value == NULL) {
		assert_null(v);
	} else {
		assert_non_null(v);
		assert_string_equal(v->value, value);
	}
	resolved_variables_clear(&all);
}

static void expect_error(const struct variable_set *set, const char *text)
{
	struct resolved_variables all;
	struct fault fault = { .code = REASON_NONE };

	assert_int_not_equal(
	    variables_resolve(set, &here, "p.yaml", &all, &fault), RC_OK);
	assert_non_null(strstr(fault.text, text));
	assert_null(all.items);
}

static void test_the_most_specific_scope_wins(void **state)
{
	struct variable_set set = { .items = NULL };

	(void)state;
	add(&set, (struct given){ .name = "A", .value = "any" });
	expect(&set, "A", "any");
	add(&set, (struct given){
		      .name = "A", .value = "prod", .environment = "prod" });
	expect(&set, "A", "prod");
	add(&set,
	    (struct given){ .name = "A", .value = "edge", .role = "edge" });
	expect(&set, "A", "edge");
	add(&set, (struct given){ .name = "A",
		      .value = "edge+prod",
		      .role = "edge",
		      .environment = "prod" });
	expect(&set, "A", "edge+prod");
	add(&set, (struct given){
		      .name = "A", .value = "web-01", .machine = "web-01" });
	expect(&set, "A", "web-01");
	add(&set, (struct given){ .name = "A",
		      .value = "other",
		      .machine = "web-02",
		      .environment = "prod" });
	add(&set, (struct given){ .name = "A", .value = "any again" });
	expect(&set, "A", "web-01");
	add(&set, (struct given){
		      .name = "A", .value = "later", .machine = "web-01" });
	expect(&set, "A", "later");
	variable_set_clear(&set);
}

static void test_a_value_for_others_only_is_not_set(void **state)
{
	struct variable_set set = { .items = NULL };

	(void)state;
	add(&set,
	    (struct given){ .name = "A", .value = "x", .environment = "test" });
	expect(&set, "A", NULL);
	variable_set_clear(&set);
}

static void test_values_use_each_other_and_the_built_in_names(void **state)
{
	struct variable_set set = { .items = NULL };

	(void)state;
	add(&set,
	    (struct given){ .name = "Greeting",
		.value =
		    "${Word} from ${Machine} in ${Environment}, $${Word}" });
	add(&set, (struct given){ .name = "Word", .value = "${Hi}${Hi}" });
	add(&set, (struct given){ .name = "Hi", .value = "hi" });
	add(&set,
	    (struct given){ .name = "Who",
		.value =
		    "${Project} ${Release} ${Deployment} ${Task} ${Role}" });
	expect(&set, "Greeting", "hihi from web-01 in prod, ${Word}");
	expect(&set, "Who", "shop 1.4 12 task-3 web,edge");
	variable_set_clear(&set);
}

static void test_what_uses_a_secret_is_secret(void **state)
{
	struct variable_set set = { .items = NULL };
	struct resolved_variables all;

	(void)state;
	add(&set, (struct given){ .name = "Password", .sensitive = true });
	add(&set, (struct given){ .name = "Password", .value = "s3cret" });
	add(&set, (struct given){ .name = "A", .value = "a${B}" });
	add(&set, (struct given){ .name = "B", .value = "${Password}" });
	add(&set, (struct given){ .name = "C", .value = "c" });
	assert_int_equal(
	    variables_resolve(&set, &here, NULL, &all, NULL), RC_OK);
	assert_true(resolved_variables_find(&all, "Password")->sensitive);
	assert_true(resolved_variables_find(&all, "B")->sensitive);
	assert_true(resolved_variables_find(&all, "A")->sensitive);
	assert_false(resolved_variables_find(&all, "C")->sensitive);
	resolved_variables_clear(&all);
	variable_set_clear(&set);
}

static void expect_value_error(const char *value, const char *text)
{
	struct variable_set set = { .items = NULL };

	add(&set, (struct given){ .name = "A", .value = value, .line = 24 });
	expect_error(&set, text);
	variable_set_clear(&set);
}

static void test_errors_name_the_line_and_the_variable(void **state)
{
	struct variable_set set = { .items = NULL };

	(void)state;
	expect_value_error("${Enviroment}",
	    "p.yaml:24: A uses ${Enviroment}, which is not set; did you mean "
	    "${Environment}?");
	expect_value_error("${Version}", "${Version}, which is not set");
	expect_value_error("${A}", "p.yaml:24: A uses itself");
	expect_value_error("x ${A", "p.yaml:24: A has a ${ that no name");
	expect_value_error("${}", "A has a ${ that no name");
	expect_value_error("${a b}", "A has a ${ that no name");
	add(&set, (struct given){ .name = "Pw", .sensitive = true, .line = 7 });
	expect_error(&set,
	    "p.yaml:7: Pw has no value here: set it with longarm variable set");
	variable_set_clear(&set);
	add(&set, (struct given){ .name = "Pw",
		      .sensitive = true,
		      .wrapped = true,
		      .value = "x" });
	expect_error(&set, "still encrypted");
	variable_set_clear(&set);
}

static void test_a_cycle_of_many_is_found(void **state)
{
	struct variable_set set = { .items = NULL };

	(void)state;
	add(&set, (struct given){ .name = "A", .value = "${B}" });
	add(&set, (struct given){ .name = "B", .value = "${C}" });
	add(&set, (struct given){ .name = "C", .value = "${A}" });
	expect_error(&set, "uses itself");
	variable_set_clear(&set);
}

static void test_depth_and_size_are_bounded(void **state)
{
	struct variable_set set = { .items = NULL };
	char name[8], value[64];

	(void)state;
	for (int i = 0; i < 20; i++) {
		(void)snprintf(name, sizeof(name), "V%02d", i);
		(void)snprintf(value, sizeof(value), "${V%02d}", i + 1);
		add(&set, (struct given){
			      .name = name, .value = i == 19 ? "end" : value });
	}
	expect_error(&set, "through too many others");
	variable_set_clear(&set);
	for (int i = 0; i < 12; i++) { /* ten times as long each time */
		(void)snprintf(name, sizeof(name), "V%02d", 20 - i);
		(void)snprintf(value, sizeof(value),
		    "${V%02d}${V%02d}${V%02d}${V%02d}${V%02d}", 21 - i, 21 - i,
		    21 - i, 21 - i, 21 - i);
		add(&set, (struct given){ .name = name,
			      .value = i == 0 ? "0123456789" : value });
	}
	expect_error(&set, "too long once expanded");
	variable_set_clear(&set);
}

static void test_bad_names_and_values_are_refused(void **state)
{
	struct variable_set set = { .items = NULL };
	struct variable v = { .name = (char[]){ "9" },
		.value = (char[]){ "x" } };
	struct fault fault;

	(void)state;
	assert_int_equal(variable_set_add(&set, &v, &fault), RC_PROTO);
	v.name = (char[]){ "Environment" };
	assert_int_equal(variable_set_add(&set, &v, &fault), RC_PROTO);
	assert_non_null(strstr(fault.text, "set by Longarm itself"));
	v.name = (char[]){ "ok" };
	v.value = malloc(VARIABLE_VALUE_MAX + 2);
	assert_non_null(v.value);
	memset(v.value, 'x', VARIABLE_VALUE_MAX + 1);
	v.value[VARIABLE_VALUE_MAX + 1] = '\0';
	assert_int_equal(variable_set_add(&set, &v, &fault), RC_PROTO);
	v.value[VARIABLE_VALUE_MAX] = '\0';
	assert_int_equal(variable_set_add(&set, &v, &fault), RC_OK);
	free(v.value);
	v.value = (char[]){ "x" };
	while (set.count < VARIABLES_MAX)
		assert_int_equal(variable_set_add(&set, &v, &fault), RC_OK);
	assert_int_equal(variable_set_add(&set, &v, &fault), RC_LIMIT);
	variable_set_clear(&set);
}

static void test_no_memory_leaves_nothing_behind(void **state)
{
	struct variable_set set = { .items = NULL };
	struct resolved_variables all;
	enum rc rc;

	(void)state;
	add(&set, (struct given){ .name = "A", .value = "${B}" });
	add(&set, (struct given){ .name = "B", .value = "${Machine}" });
	for (size_t n = 0;; n++) {
		alloc_fail_at(n);
		rc = variables_resolve(&set, &here, NULL, &all, NULL);
		if (!alloc_failed())
			break;
		assert_int_equal(rc, RC_NOMEM);
		assert_null(all.items);
	}
	alloc_never_fail();
	assert_int_equal(rc, RC_OK);
	resolved_variables_clear(&all);
	variable_set_clear(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_most_specific_scope_wins),
		cmocka_unit_test(test_a_value_for_others_only_is_not_set),
		cmocka_unit_test(
		    test_values_use_each_other_and_the_built_in_names),
		cmocka_unit_test(test_what_uses_a_secret_is_secret),
		cmocka_unit_test(test_errors_name_the_line_and_the_variable),
		cmocka_unit_test(test_a_cycle_of_many_is_found),
		cmocka_unit_test(test_depth_and_size_are_bounded),
		cmocka_unit_test(test_bad_names_and_values_are_refused),
		cmocka_unit_test(test_no_memory_leaves_nothing_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
