#include "server/api/routes.h"

static const struct route *const tables[] = {
	apikey_routes,
	ca_routes,
	decide_routes,
	deployment_routes,
	environment_routes,
	health_routes,
	held_routes,
	join_routes,
	lock_routes,
	machine_routes,
	note_routes,
	package_routes,
	project_routes,
	relay_routes,
	release_routes,
	run_routes,
	status_routes,
	task_routes,
	token_routes,
	variable_routes,
};

const struct route *route_at(size_t i)
{
	for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++) {
		for (const struct route *r = tables[t]; r->pattern != NULL;
		     r++) {
			if (i-- == 0)
				return r;
		}
	}
	return NULL;
}
