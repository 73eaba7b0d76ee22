/*
 * configure.h - put variables into the configuration files of a package.
 *
 *     listen ${port};        the value of port
 *     echo $${HOME} $PATH    "${HOME} $PATH": "$${" is a plain "${"
 *
 * A name between braces is [A-Za-z_][A-Za-z0-9_.:-]{0,99}.  A variable that is
 * not set is an error with file and line, never an empty text.  Values are not
 * searched again.
 */
#ifndef TENTACLE_CONFIGURE_H
#define TENTACLE_CONFIGURE_H

#include "common/buf.h"
#include "proto/message.h"

#define CONFIGURE_FILE_MAX 4194304 /* bytes, before and after */
#define CONFIGURE_FILES    1000    /* matched by all patterns */

struct configure_values {
	const struct msg_pair *variables;
	size_t variable_count;
	const struct msg_pair *secrets; /* looked up first */
	size_t secret_count;
};

/*
 * Pure: text with values put in is added to out.  name is that of the file, for
 * the fault; *used_secret says whether one went in.  RC_PROTO with
 * REASON_BAD_CONFIG: a variable is not set, a brace is not closed, or the text
 * holds a NUL byte; RC_LIMIT: too long; RC_NOMEM.
 */
MUST_CHECK enum rc configure_text(struct bytes text,
    const struct configure_values *values, const char *name, struct buf *out,
    bool *used_secret, struct fault *fault);

/*
 * Is this a pattern for configure_tree()?  Relative, without "..", at most 255
 * bytes; each component may hold * ? [...], and "**" stands for any number of
 * directories.
 */
MUST_CHECK enum rc configure_check_pattern(
    const char *pattern, struct fault *fault);

/*
 * Rewrite every file beneath dir_fd (borrowed) that matches a pattern; *count
 * says how many.  Symbolic links are not followed (one named without * is an
 * error); a pattern that matches nothing is an error.  A file keeps its mode,
 * but one that got a secret loses what others may do.  Blocking.
 */
MUST_CHECK enum rc configure_tree(int dir_fd, const struct bytes *patterns,
    size_t pattern_count, const struct configure_values *values, size_t *count,
    struct fault *fault);

#endif
