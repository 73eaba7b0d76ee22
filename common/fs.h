/*
 * fs.h - files and directories, done carefully.
 *
 * Every function blocks on the disk.  fault (may be NULL) says in words which
 * path failed and why; RC_IO leaves errno set.  Paths are shorter than
 * FS_PATH_MAX.  Any thread.
 */
#ifndef COMMON_FS_H
#define COMMON_FS_H

#include "proto/rc.h"
#include "proto/reason.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FS_PATH_MAX 4096

/* out = dir/name.  RC_LIMIT: longer than size. */
MUST_CHECK enum rc fs_join(
    char *out, size_t size, const char *dir, const char *name);
/*
 * out = path, made absolute by the working directory.  RC_LIMIT: longer than
 * size; RC_IO: there is no working directory.
 */
MUST_CHECK enum rc fs_absolute(
    char *out, size_t size, const char *path, struct fault *fault);

/*
 * Make path and its missing parents, 0700.  One that is there is checked as by
 * fs_check_private().
 */
MUST_CHECK enum rc fs_make_private_dir(const char *path, struct fault *fault);
/* RC_DENIED: another user owns it, or group or others may do anything in it. */
MUST_CHECK enum rc fs_check_private(const char *path, struct fault *fault);

/* All of it or RC_IO; goes on after EINTR and short counts. */
MUST_CHECK enum rc fs_write_all(int fd, const void *data, size_t len);
MUST_CHECK enum rc fs_pwrite_all(
    int fd, const void *data, size_t len, uint64_t offset);
/*
 * The file has the old content or the new, whatever happens: written beside it,
 * synced, renamed, directory synced.  REASON_NO_SPACE when the disk is full.
 */
MUST_CHECK enum rc fs_write_atomic(const char *path, const void *data,
    size_t len, mode_t mode, struct fault *fault);
/*
 * The same without any sync, and in place: for what can be made again after the
 * machine stopped.
 */
MUST_CHECK enum rc fs_write_unsynced(const char *path, const void *data,
    size_t len, mode_t mode, struct fault *fault);
/*
 * The whole file in *out (the caller frees it), with a NUL after *len bytes.
 * RC_NOTFOUND, RC_LIMIT: longer than limit, RC_IO.
 */
MUST_CHECK enum rc fs_read_file(const char *path, size_t limit, uint8_t **out,
    size_t *len, struct fault *fault);
/* As fs_read_file() from an open file, up to its end. */
MUST_CHECK enum rc fs_read_fd(int fd, size_t limit, uint8_t **out, size_t *len);
MUST_CHECK enum rc fs_sync_dir(const char *path);

/*
 * Take the lock file, with our pid in it; held until fs_unlock() or the end of
 * the process (not inherited over exec).  RC_EXISTS: another process holds it,
 * and fault names its pid.
 */
MUST_CHECK enum rc fs_lock(const char *path, int *out_fd, struct fault *fault);
void fs_unlock(int fd);

/*
 * Remove the file or tree `name` (one component) beneath dir_fd.  Never follows
 * a symbolic link, never leaves the file system of name.  Nothing there: RC_OK.
 */
MUST_CHECK enum rc fs_remove_tree(
    int dir_fd, const char *name, struct fault *fault);
/*
 * The same for a tree in which somebody may still write: *budget falls with
 * each entry that is looked at, and at 0 it is RC_AGAIN.
 */
MUST_CHECK enum rc fs_remove_some(
    int dir_fd, const char *name, uint64_t *budget, struct fault *fault);

/* Bytes that this user may still write on the file system of path. */
MUST_CHECK enum rc fs_free_bytes(const char *path, uint64_t *out);

#endif
