/* fuzz: server common proto */
/* about: server/api/http_head.c server/api/route.c */
#include "server/api/http_head.h"
#include "server/api/route.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_query(const struct http_head *head)
{
	struct route_match match;
	struct fault fault = { 0 };
	json_t *query = NULL;

	route_match(head->method, head->path, &match);
	if (match.route != NULL && route_parse_query(match.route, head->query,
				       &query, &fault) == RC_OK)
		json_decref(query);
}

static void fuzz_body(const uint8_t *data, size_t size)
{
	struct fault fault = { 0 };
	json_t *body = NULL;
	const struct route *route;

	if (route_parse_body(data, size, &body, &fault) != RC_OK)
		return;
	for (size_t i = 0; (route = route_at(i)) != NULL; i++) {
		if (route->fields != NULL)
			(void)!route_check_body(route->fields, body, &fault);
	}
	json_decref(body);
}

/* A head, and what follows it as a JSON body. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_scan *scan = calloc(1, sizeof(*scan));
	struct http_head head;
	struct fault fault = { 0 };
	size_t used;

	assert(scan != NULL);
	http_scan_reset(scan);
	used = http_scan_feed(scan, data, size);
	if (scan->state == HTTP_SCAN_DONE &&
	    http_head_parse(scan->head, scan->len, &head, &fault) == RC_OK) {
		assert(head.path[0] == '/');
		assert(strstr(head.path, "/../") == NULL);
		fuzz_query(&head);
	}
	fuzz_body(data + used, size - used);
	free(scan);
	return 0;
}
