/*
 * full_disk.h - a disk without room, for the database alone: its writes answer
 * ENOSPC while it is on.
 *
 * Functions are inline so that only tests of the server link the database.
 */
#ifndef TEST_SUPPORT_FULL_DISK_H
#define TEST_SUPPORT_FULL_DISK_H

#include <errno.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_bool full_disk_on;

static inline ssize_t full_disk_write(int fd, const void *data, size_t len)
{
	if (!atomic_load(&full_disk_on))
		return write(fd, data, len);
	errno = ENOSPC;
	return -1;
}

static inline ssize_t full_disk_pwrite(
    int fd, const void *data, size_t len, off_t at)
{
	if (!atomic_load(&full_disk_on))
		return pwrite(fd, data, len, at);
	errno = ENOSPC;
	return -1;
}

/* Which of the three it uses is how it was built. */
static inline void full_disk_set(bool on)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);

	atomic_store(&full_disk_on, on);
	(void)vfs->xSetSystemCall(
	    vfs, "write", (sqlite3_syscall_ptr)full_disk_write);
	(void)vfs->xSetSystemCall(
	    vfs, "pwrite", (sqlite3_syscall_ptr)full_disk_pwrite);
	(void)vfs->xSetSystemCall(
	    vfs, "pwrite64", (sqlite3_syscall_ptr)full_disk_pwrite);
}

#endif
