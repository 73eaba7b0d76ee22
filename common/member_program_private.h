/*
 * member_program_private.h - for member_program.c and member_doctor.c only.
 */
#ifndef COMMON_MEMBER_PROGRAM_PRIVATE_H
#define COMMON_MEMBER_PROGRAM_PRIVATE_H

#include "common/dial.h"
#include "common/member_program.h"
#include "common/token.h"

/* path "-": standard input.  The caller wipes *out: token_fini(). */
MUST_CHECK enum rc member_read_token(
    const char *path, struct token *out, struct fault *fault);
/* HOST:PORT... of line; out has DIAL_ENDPOINTS_MAX. */
MUST_CHECK enum rc member_read_endpoints(const struct command_line *line,
    struct endpoint *out, size_t *count, struct fault *fault);

#endif
