#include "server/process/script_world.h"

#include "proto/feature.h"
#include "server/process/json_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum rc script_world_check(const struct script_world *w, struct fault *fault)
{
	if (w->user[0] != '\0' && !user_is_valid(w->user))
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "user: '%s' is not the name of a user", w->user);
	else if (w->memory > 0 &&
		 (w->memory < WORLD_MEMORY_MIN || w->memory > WORLD_MEMORY_MAX))
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "memory: a limit is from 4MiB to 1024TiB");
	else if (w->processes > WORLD_PROCESSES_MAX)
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "processes: a limit is from 1 to %u", WORLD_PROCESSES_MAX);
	else if (w->lock[0] != '\0' && !name_is_valid(w->lock))
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "lock: '%s' is not a name", w->lock);
	else
		return RC_OK;
	return RC_PROTO;
}

uint32_t script_world_needs(const struct script_world *w)
{
	uint32_t needs = 0;

	if (w->user[0] != '\0')
		needs |= FEATURE_BIT(FEATURE_USER);
	if (w->memory > 0 || w->processes > 0)
		needs |= FEATURE_BIT(FEATURE_LIMITS);
	if (w->lock[0] != '\0')
		needs |= FEATURE_BIT(FEATURE_LOCKS);
	return needs;
}

static bool write_name(json_t *o, const char *key, const char *text)
{
	return json_write_text(o, key, text[0] != '\0' ? text : NULL);
}

static bool write_number(json_t *o, const char *key, uint64_t n)
{
	return n == 0 ||
	       json_object_set_new(o, key, json_integer((json_int_t)n)) == 0;
}

bool script_world_to_json(const struct script_world *w, json_t *object)
{
	return write_name(object, "user", w->user) &&
	       write_number(object, "memory", w->memory) &&
	       write_number(object, "processes", w->processes) &&
	       write_name(object, "lock", w->lock) &&
	       (!w->lock_shared || json_object_set_new(object, "lock_shared",
				       json_true()) == 0);
}

static enum rc read_name_of(const json_t *o, const char *key, char *out,
    size_t size, struct fault *fault)
{
	char *text = NULL;
	enum rc rc = json_read_text(o, key, false, &text, fault);

	if (rc == RC_OK && text != NULL &&
	    snprintf(out, size, "%s", text) >= (int)size) {
		fault_set(
		    fault, REASON_BAD_CONFIG, "", "\"%s\" is too long", key);
		rc = RC_PROTO;
	}
	free(text);
	return rc;
}

enum rc script_world_from_json(
    const json_t *object, struct script_world *out, struct fault *fault)
{
	uint64_t processes = 0;
	enum rc rc;

	*out = (struct script_world){ .memory = 0 };
	rc = read_name_of(object, "user", out->user, sizeof(out->user), fault);
	if (rc == RC_OK)
		rc = json_read_number(object, "memory", &out->memory, fault);
	if (rc == RC_OK)
		rc = json_read_number(object, "processes", &processes, fault);
	out->processes = processes <= WORLD_PROCESSES_MAX
	                     ? (uint32_t)processes
	                     : WORLD_PROCESSES_MAX + 1;
	if (rc == RC_OK)
		rc = read_name_of(
		    object, "lock", out->lock, sizeof(out->lock), fault);
	if (rc == RC_OK)
		rc = json_read_boolean(
		    object, "lock_shared", &out->lock_shared, fault);
	return rc == RC_OK ? script_world_check(out, fault) : rc;
}
