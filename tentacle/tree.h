/*
 * tree.h - names beneath a directory, walked without following links.
 *
 * For code that writes where somebody else chose the names.
 */
#ifndef TENTACLE_TREE_H
#define TENTACLE_TREE_H

#include "proto/rc.h"

#include <stdbool.h>
#include <stddef.h>

#define TREE_NAME_MAX 1024 /* bytes of a whole name */

enum tree_name_error {
	TREE_NAME_OK,
	TREE_NAME_EMPTY,     /* nothing left: the directory itself */
	TREE_NAME_ABSOLUTE,  /* begins with '/' */
	TREE_NAME_DOTS,      /* has a component ".." */
	TREE_NAME_LONG,      /* whole, or one component above 255 */
	TREE_NAME_CHARACTERS /* control characters */
};

/*
 * name without "." and empty components into out (size bytes); *depth counts
 * the components.  Pure.
 */
enum tree_name_error tree_clean_name(
    const char *name, char *out, size_t size, size_t *depth);
/* "is absolute"...  For the user. */
const char *tree_name_problem(enum tree_name_error error);

/*
 * Open the directory that holds the last component of a clean name.  Missing
 * directories are made 0755 when make is true.  *base is the last component
 * within name.  RC_DENIED: a component is a symbolic link or no directory.
 * RC_NOTFOUND; RC_IO.
 */
MUST_CHECK enum rc tree_open_parent(int root_fd, const char *name, bool make,
    int *parent_fd, const char **base);

/*
 * May a symbolic link at this clean name have this target?  Pure.  Only a
 * relative target whose ".." all come first and stay within the tree: whatever
 * other links there are, such links together never lead out.
 */
bool tree_link_is_inside(const char *name, const char *target);

#endif
