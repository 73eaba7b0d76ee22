/* wire.h - pieces of bodies and answers that several nouns share. */
#ifndef SERVER_API_WIRE_H
#define SERVER_API_WIRE_H

#include "server/api/call.h"
#include "server/store/machine.h"
#include "server/store/task.h"

/* Members of a route in a body. */
extern const struct route_field route_members[];

json_t *wire_routes(const struct store_route *routes, size_t count);
/* Ways to one of this role, whose usual port an endpoint without a port gets;
 * no endpoint: it dials.  RC_PROTO: a path or endpoint that is none. */
MUST_CHECK enum rc wire_read_routes(const json_t *array, enum store_role role,
    struct store_route routes[STORE_ROUTES_MAX], size_t *count,
    struct fault *fault);
/*
 * What a joiner will be, for a token as for a request that is signed at once:
 * name, environments, roles, and routes of t->role.  RC_PROTO.
 */
struct store_token;
MUST_CHECK enum rc wire_read_grant(
    struct api_call *call, struct store_token *t);
/* NULL reads as "". */
void wire_copy(char *out, size_t size, const char *text);
/* Code and text, or null when there is no fault. */
json_t *wire_fault(const struct fault *fault);
json_t *wire_task(const struct store_task *task);
/* "task-7" or "7" -> 7; RC_NOTFOUND and fault. */
MUST_CHECK enum rc wire_task_number(struct api_call *call, uint64_t *out);

#endif
