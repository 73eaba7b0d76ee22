/* The table of routes: complete, closed by default, strict with input. */
#include "server/api/log_read.h"
#include "server/api/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Who may do what: a change here is a change of the interface. */
static const char *const golden[] = {
	"GET /api/v1/apikeys apikey.list apikey.edit",
	"POST /api/v1/apikeys apikey.create apikey.edit",
	"DELETE /api/v1/apikeys/{name} apikey.revoke apikey.edit",
	"GET /api/v1/ca ca.show status.view",
	"POST /api/v1/ca/rotations ca.rotate server.admin",
	"GET /api/v1/nodes node.list status.view",
	"POST /api/v1/nodes/{name}/revoke node.revoke server.admin",
	"POST /api/v1/tasks/{id}/decide task.decide deploy",
	"POST /api/v1/tasks/{id}/approve task.approve task.approve",
	"POST /api/v1/tasks/{id}/resolve task.resolve deploy",
	"POST /api/v1/deployments deployment.create deploy",
	"GET /api/v1/environments environment.list status.view",
	"POST /api/v1/environments environment.create environment.edit",
	"GET /api/v1/environments/{name} environment.show status.view",
	"DELETE /api/v1/environments/{name} environment.delete "
	"environment.edit",
	"POST /api/v1/health health.run health.run",
	"POST /api/v1/machines/{name}/release machine.release machine.edit",
	"POST /api/v1/relays/{name}/release relay.release machine.edit",
	"GET /api/v1/joins join.list token.edit",
	"POST /api/v1/joins/{name}/approve join.approve token.edit",
	"POST /api/v1/joins/{name}/reject join.reject token.edit",
	"POST /api/v1/joins join.sign token.edit",
	"GET /api/v1/machines/{name}/locks lock.list health.run",
	"POST /api/v1/machines/{name}/locks/{lock}/break lock.break "
	"run.script",
	"GET /api/v1/machines machine.list machine.view",
	"POST /api/v1/machines machine.add machine.edit",
	"GET /api/v1/machines/{name} machine.show machine.view",
	"PUT /api/v1/machines/{name} machine.edit machine.edit",
	"DELETE /api/v1/machines/{name} machine.remove machine.edit",
	"POST /api/v1/machines/{name}/revoke machine.revoke machine.edit",
	"GET /api/v1/machines/{name}/route route.explain machine.view",
	"POST /api/v1/machines/{name}/traces route.trace health.run",
	"GET /api/v1/machines/{name}/traces/{trace} route.traced machine.view",
	"GET /api/v1/tasks/{id}/notes task.notes task.view",
	"GET /api/v1/tasks/{id}/artifacts/{artifact} task.artifact task.view",
	"GET /api/v1/packages package.list project.view",
	"GET /api/v1/packages/{name}/{version} package.show project.view",
	"POST /api/v1/packages/{name}/{version} package.push package.push",
	"DELETE /api/v1/packages/{name}/{version} package.delete package.push",
	"POST /api/v1/packages/{name}/{version}/upload package.upload "
	"package.push",
	"PUT /api/v1/packages/{name}/{version}/upload package.part "
	"package.push",
	"GET /api/v1/projects project.list project.view",
	"POST /api/v1/projects project.create project.edit",
	"PUT /api/v1/projects project.apply project.edit",
	"GET /api/v1/projects/{name} project.show project.view",
	"PUT /api/v1/projects/{name} project.replace project.edit",
	"DELETE /api/v1/projects/{name} project.delete project.edit",
	"GET /api/v1/relays relay.list machine.view",
	"POST /api/v1/relays relay.add machine.edit",
	"GET /api/v1/relays/{name} relay.show machine.view",
	"PUT /api/v1/relays/{name} relay.edit machine.edit",
	"POST /api/v1/relays/{name}/revoke relay.revoke machine.edit",
	"DELETE /api/v1/relays/{name} relay.remove machine.edit",
	"GET /api/v1/projects/{project}/releases release.list project.view",
	"POST /api/v1/projects/{project}/releases release.create project.edit",
	"GET /api/v1/projects/{project}/releases/{version} release.show "
	"project.view",
	"DELETE /api/v1/projects/{project}/releases/{version} release.delete "
	"project.edit",
	"POST /api/v1/run run.create run.script",
	"GET /api/v1/status status.show status.view",
	"GET /api/v1/audit audit.list audit.view",
	"GET /api/openapi.json openapi.show open",
	"GET /livez livez.show open",
	"GET /readyz readyz.show open",
	"GET /metrics metrics.show status.view",
	"GET /api/v1/tasks task.list task.view",
	"GET /api/v1/tasks/{id} task.show task.view",
	"GET /api/v1/tasks/{id}/runs task.runs task.view",
	"GET /api/v1/tasks/{id}/log task.log task.view",
	"POST /api/v1/tasks/{id}/cancel task.cancel deploy",
	"GET /api/v1/tokens token.list token.edit",
	"POST /api/v1/tokens token.create token.edit",
	"DELETE /api/v1/tokens/{id} token.revoke token.edit",
	"GET /api/v1/variables variable.list variable.view",
	"PUT /api/v1/variables variable.set variable.edit",
	"DELETE /api/v1/variables variable.delete variable.edit",
};

static void test_the_table_is_the_golden_list(void **state)
{
	const struct route *r;
	char line[256];
	size_t i;

	(void)state;
	for (i = 0; (r = route_at(i)) != NULL; i++) {
		(void)snprintf(line, sizeof(line), "%s %s %s %s",
		    http_method_name(r->method), r->pattern, r->operation,
		    r->access == ROUTE_OPEN ? "open"
					    : permission_name(r->permission));
		assert_true(i < sizeof(golden) / sizeof(golden[0]));
		assert_string_equal(line, golden[i]);
	}
	assert_int_equal(i, sizeof(golden) / sizeof(golden[0]));
}

static void test_every_route_says_who_may(void **state)
{
	const struct route *r;

	(void)state;
	for (size_t i = 0; (r = route_at(i)) != NULL; i++) {
		assert_in_range(r->access, ROUTE_OPEN, ROUTE_OBJECT);
		assert_non_null(r->summary);
		assert_true(r->handler != NULL || r->after != NULL);
		/* Without the SQL thread nobody was asked for a key. */
		if (r->handler == NULL)
			assert_int_equal(r->access, ROUTE_OPEN);
		if (r->access == ROUTE_OPEN)
			assert_null(r->handler);
		if (r->body == ROUTE_NO_BODY)
			assert_null(r->fields);
		/* To view needs no more than to view; to change does. */
		if (r->access != ROUTE_OPEN && r->method != HTTP_METHOD_GET)
			assert_null(
			    strstr(permission_name(r->permission), ".view"));
	}
}

static void test_paths_find_their_routes(void **state)
{
	struct route_match m;

	(void)state;
	route_match(HTTP_METHOD_GET, "/api/v1/machines/web-01/route", &m);
	assert_string_equal(m.route->operation, "route.explain");
	assert_string_equal(m.params[0], "web-01");
	route_match(
	    HTTP_METHOD_POST, "/api/v1/packages/shop/1.0.0+7/upload", &m);
	assert_string_equal(m.route->operation, "package.upload");
	assert_string_equal(m.params[1], "1.0.0+7");
	route_match(HTTP_METHOD_HEAD, "/livez", &m);
	assert_string_equal(m.route->operation, "livez.show");
	route_match(HTTP_METHOD_DELETE, "/livez", &m);
	assert_null(m.route);
	assert_true(m.path_known);
	route_match(HTTP_METHOD_GET, "/api/v1/machines/a b", &m);
	assert_null(m.route);
	assert_false(m.path_known);
	route_match(HTTP_METHOD_GET, "/api/v1/machines/", &m);
	assert_null(m.route);
	route_match(HTTP_METHOD_GET, "/api/v1/machines/a/route/x", &m);
	assert_null(m.route);
	route_match(HTTP_METHOD_GET, "/", &m);
	assert_null(m.route);
}

static const struct route_field inner[] = {
	{ "path", ROUTE_TEXT, true, 10, "a path", NULL },
	{ .name = NULL },
};
static const struct route_field fields[] = {
	{ "name", ROUTE_TEXT, true, 5, "a name", NULL },
	{ "count", ROUTE_NUMBER, false, 9, "a count", NULL },
	{ "on", ROUTE_BOOL, false, 0, "a switch", NULL },
	{ "list", ROUTE_TEXTS, false, 2, "a list", NULL },
	{ "routes", ROUTE_OBJECTS, false, 2, "some", inner },
	{ "map", ROUTE_MAP, false, 1, "a map", NULL },
	{ .name = NULL },
};

static void expect_body(const char *text, const char *why)
{
	struct fault fault = { 0 };
	json_t *body = NULL;
	enum rc rc = route_parse_body(
	    (const uint8_t *)text, strlen(text), &body, &fault);

	if (rc == RC_OK)
		rc = route_check_body(fields, body, &fault);
	assert_string_equal(fault.text, why);
	assert_int_equal(rc, *why != '\0' ? RC_PROTO : RC_OK);
	json_decref(body);
}

static void test_bodies_are_held_to_their_fields(void **state)
{
	(void)state;
	expect_body("{\"name\":\"a\",\"count\":9,\"on\":true,"
		    "\"list\":[\"x\"],\"routes\":[{\"path\":\"direct\"}],"
		    "\"map\":{\"k\":\"v\"}}",
	    "");
	expect_body("{}", "name is missing (a name)");
	expect_body("{\"name\":\"abcdef\"}", "name is over the limit of 5");
	expect_body(
	    "{\"name\":\"a\",\"count\":10}", "count is over the limit of 9");
	expect_body(
	    "{\"name\":\"a\",\"count\":-1}", "count must be a number from 0");
	expect_body("{\"name\":\"a\",\"on\":1}", "on must be true or false");
	expect_body(
	    "{\"name\":\"a\",\"list\":[1]}", "list must be an array of texts");
	expect_body("{\"name\":\"a\",\"list\":[\"1\",\"2\",\"3\"]}",
	    "list is over the limit of 2");
	expect_body(
	    "{\"name\":\"a\",\"routes\":[{}]}", "path is missing (a path)");
	expect_body("{\"name\":\"a\",\"map\":{\"k\":1}}",
	    "map must be an object of texts");
	expect_body("{\"name\":\"a\",\"coutn\":1}",
	    "unknown member: coutn; did you mean count?");
	expect_body("{\"name\":\"a\",\"name\":\"b\"}",
	    "the body is not JSON: line 1: duplicate object key near "
	    "'\"name\"'");
	expect_body("[]", "the body must be one JSON object, at most 8 deep, "
			  "without fractions");
	expect_body("{\"name\":1.5}",
	    "the body must be one JSON object, at most 8 deep, without "
	    "fractions");
	expect_body("{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":"
		    "{\"a\":{}}}}}}}}}}",
	    "the body must be one JSON object, at most 8 deep, without "
	    "fractions");
}

static void test_queries_are_held_to_their_fields(void **state)
{
	struct route_match m;
	struct fault fault = { 0 };
	json_t *query = NULL;

	(void)state;
	route_match(HTTP_METHOD_GET, "/api/v1/machines", &m);
	assert_int_equal(
	    route_parse_query(
		m.route, "environment=a%2Bb&limit=5&cursor=", &query, &fault),
	    RC_OK);
	assert_string_equal(
	    json_string_value(json_object_get(query, "environment")), "a+b");
	json_decref(query);
	assert_int_equal(
	    route_parse_query(m.route, "limit=501", &query, &fault), RC_PROTO);
	assert_int_equal(
	    route_parse_query(m.route, "limit=x", &query, &fault), RC_PROTO);
	assert_int_equal(
	    route_parse_query(m.route, "role=a&role=b", &query, &fault),
	    RC_PROTO);
	assert_int_equal(
	    route_parse_query(m.route, "x=1", &query, &fault), RC_PROTO);
	assert_int_equal(
	    route_parse_query(m.route, "role=%ff", &query, &fault), RC_PROTO);
	route_match(HTTP_METHOD_PUT, "/api/v1/packages/a/1/upload", &m);
	assert_int_equal(
	    route_parse_query(m.route, "offset=0", &query, &fault), RC_PROTO);
	assert_non_null(strstr(fault.text, "the query needs"));
}

static void test_the_description_covers_every_route(void **state)
{
	json_t *document = openapi_document();
	json_t *paths = json_object_get(document, "paths");
	const struct route *r;

	(void)state;
	assert_non_null(document);
	for (size_t i = 0; (r = route_at(i)) != NULL; i++) {
		json_t *path = json_object_get(paths, r->pattern);

		assert_non_null(path);
		assert_true(json_object_size(path) > 0);
	}
	assert_int_equal(
	    json_object_size(json_object_get(paths, "/api/v1/machines")), 2);
	json_decref(document);
}

/* ---- cursors of logs ---- */

static struct log_cursor cursor_of(const char *text)
{
	struct log_cursor cursor;

	assert_int_equal(log_cursor_parse(text, &cursor), RC_OK);
	return cursor;
}

static void assert_cursor(const struct log_cursor *cursor, const char *want)
{
	char text[LOG_CURSOR_TEXT];

	assert_int_equal(log_cursor_format(cursor, text, sizeof(text)), RC_OK);
	assert_string_equal(text, want);
}

static void test_a_cursor_remembers_what_was_read(void **state)
{
	struct log_cursor c = cursor_of("2x3.5x2~0~");
	struct run_key key = { .block = 1, .target = 2, .action = 1 };
	uint64_t index;
	bool over;

	(void)state;
	assert_int_equal(log_cursor_index(&c, &key, &index), RC_OK);
	assert_int_equal(index, 11);
	assert_int_equal(log_cursor_set(&c, 11, 4096, false), RC_OK);
	assert_int_equal(log_cursor_set(&c, 2, 0, true), RC_OK);
	assert_int_equal(log_cursor_set(&c, 4, 0, true), RC_OK);
	assert_int_equal(log_cursor_set(&c, 3, 10, false), RC_OK);
	assert_cursor(&c, "2x3.5x2~0~2.3_10.4.11_4096");
	assert_int_equal(log_cursor_offset(&c, 3, &over), 10);
	assert_false(over);
	assert_int_equal(log_cursor_set(&c, 3, 12, true), RC_OK);
	assert_cursor(&c, "2x3.5x2~0~2-4.11_4096");
	(void)log_cursor_offset(&c, 3, &over);
	assert_true(over);
	assert_int_equal(log_cursor_set(&c, 1, 0, true), RC_OK);
	assert_int_equal(log_cursor_set(&c, 0, 0, true), RC_OK);
	assert_cursor(&c, "2x3.5x2~5~11_4096");
	assert_true(log_cursor_before(&c, &key));
	assert_int_equal(key.block, 0);
	assert_int_equal(key.target, 1);
	assert_int_equal(key.action, 1);
	assert_false(log_cursor_is_done(&c));
	for (uint64_t i = 5; i < 16; i++)
		assert_int_equal(log_cursor_set(&c, i, 0, true), RC_OK);
	assert_true(log_cursor_is_done(&c));
	assert_cursor(&c, "2x3.5x2~16~");
}

static void test_runs_read_in_any_order_end_as_one_range(void **state)
{
	struct log_cursor c = cursor_of("50x1~0~");

	(void)state;
	for (uint64_t i = 0; i < 50; i++)
		assert_int_equal(
		    log_cursor_set(&c, i * 7 % 50, 0, true), RC_OK);
	assert_cursor(&c, "50x1~50~");
}

static void test_the_longest_cursor_fits(void **state)
{
	struct log_cursor c = cursor_of("1000000x64~0~");
	char text[LOG_CURSOR_TEXT];
	uint64_t i;

	(void)state;
	c.block_count = TASK_BLOCKS_MAX;
	for (uint32_t b = 0; b < TASK_BLOCKS_MAX; b++) {
		c.blocks[b].targets = 100000;
		c.blocks[b].actions = 64;
	}
	for (i = 0; log_cursor_set(&c, 999000 + 2 * i, UINT64_C(99999999999),
			false) == RC_OK;
	     i++)
		continue;
	assert_int_equal(i, LOG_CURSOR_MARKS);
	assert_int_equal(log_cursor_format(&c, text, sizeof(text)), RC_OK);
	c = cursor_of(text);
	assert_cursor(&c, text);
}

static void test_bad_cursors_are_refused(void **state)
{
	static const char *const bad[] = { "", "x", "1x1", "1x1~0", "1x1~~",
		"1x1~0~1.1", "1x1~0~2-1", "1x1~5~4", "1x1~0~1.", "1x1~0~1_",
		"1x65~0~", "1x1~0~1 ", "-1x1~0~", "99999999999999999999x1~0~" };
	struct log_cursor c;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(log_cursor_parse(bad[i], &c), RC_PROTO);
}

static void test_output_becomes_utf8_and_waits_for_cut_characters(void **state)
{
	char out[16] = "";
	size_t used, n;

	(void)state;
	n = log_clean((const uint8_t *)"a\xc3\xa4\x00z", 5, true, out, &used);
	assert_memory_equal(out, "a\xc3\xa4?z", n);
	assert_int_equal(used, 5);
	n = log_clean((const uint8_t *)"a\xe2\x82", 3, false, out, &used);
	assert_int_equal(n, 1);
	assert_int_equal(used, 1);
	n = log_clean((const uint8_t *)"a\xe2\x82", 3, true, out, &used);
	assert_memory_equal(out, "a??", n);
	n = log_clean(
	    (const uint8_t *)"\xed\xa0\x80\xc0\x80", 5, true, out, &used);
	assert_memory_equal(out, "?????", n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_table_is_the_golden_list),
		cmocka_unit_test(test_every_route_says_who_may),
		cmocka_unit_test(test_paths_find_their_routes),
		cmocka_unit_test(test_bodies_are_held_to_their_fields),
		cmocka_unit_test(test_queries_are_held_to_their_fields),
		cmocka_unit_test(test_the_description_covers_every_route),
		cmocka_unit_test(test_a_cursor_remembers_what_was_read),
		cmocka_unit_test(test_runs_read_in_any_order_end_as_one_range),
		cmocka_unit_test(test_the_longest_cursor_fits),
		cmocka_unit_test(test_bad_cursors_are_refused),
		cmocka_unit_test(
		    test_output_becomes_utf8_and_waits_for_cut_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
