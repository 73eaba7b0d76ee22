/*
 * json_read.h - fields of a JSON object that we wrote ourselves, checked all
 * the same: it may come from an import or a damaged database.
 */
#ifndef SERVER_PROCESS_JSON_READ_H
#define SERVER_PROCESS_JSON_READ_H

#include "proto/reason.h"

#include <jansson.h>

#include <stdbool.h>
#include <stdint.h>

/* Parse len bytes into an object; what: "a release", for messages.  RC_PROTO
 * or RC_NOMEM.  The caller calls json_decref(). */
MUST_CHECK enum rc json_read(const char *text, size_t len, const char *what,
    json_t **out, struct fault *fault);
/* A copy of a text; absent or null: *out is NULL, RC_PROTO when required. */
MUST_CHECK enum rc json_read_text(const json_t *object, const char *key,
    bool required, char **out, struct fault *fault);
/* A whole number, not negative; absent: 0. */
MUST_CHECK enum rc json_read_number(
    const json_t *object, const char *key, uint64_t *out, struct fault *fault);
/* A boolean; absent: false. */
MUST_CHECK enum rc json_read_boolean(
    const json_t *object, const char *key, bool *out, struct fault *fault);
/* Set key to a text; NULL: leave it out.  false: no memory. */
bool json_write_text(json_t *object, const char *key, const char *text);
/* Compact, keys in the order written; eats object (may be NULL). */
MUST_CHECK enum rc json_write(json_t *object, char **out);

#endif
