/* routes.h - the tables of the nouns; each ends with a NULL pattern. */
#ifndef SERVER_API_ROUTES_H
#define SERVER_API_ROUTES_H

#include "server/api/route.h"

extern const struct route apikey_routes[];
extern const struct route ca_routes[];
extern const struct route decide_routes[];
extern const struct route deployment_routes[];
extern const struct route environment_routes[];
extern const struct route health_routes[];
extern const struct route held_routes[];
extern const struct route join_routes[];
extern const struct route lock_routes[];
extern const struct route machine_routes[];
extern const struct route note_routes[];
extern const struct route package_routes[];
extern const struct route project_routes[];
extern const struct route relay_routes[];
extern const struct route release_routes[];
extern const struct route run_routes[];
extern const struct route status_routes[];
extern const struct route task_routes[];
extern const struct route token_routes[];
extern const struct route variable_routes[];

/* Limits that many bodies share. */
#define LIMIT_NAME    63
#define LIMIT_VERSION 100
#define LIMIT_TEXT    255

#endif
