#include "tentacle/program.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>

static int add_files(posix_spawn_file_actions_t *files, const struct program *p)
{
	int err =
	    posix_spawn_file_actions_addopen(files, 0, "/dev/null", O_RDWR, 0);

	for (size_t i = 0; err == 0 && i < p->fd_count; i++)
		err = posix_spawn_file_actions_adddup2(
		    files, p->fds[i].from, p->fds[i].to);
	return err;
}

static int set_attributes(posix_spawnattr_t *attr, bool session)
{
	int flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
	            (session ? POSIX_SPAWN_SETSID : 0);
	sigset_t none, all;
	int err;

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	err = posix_spawnattr_setsigmask(attr, &none);
	if (err == 0)
		err = posix_spawnattr_setsigdefault(attr, &all);
	if (err == 0)
		err = posix_spawnattr_setflags(attr, (short)flags);
	return err;
}

int program_start(const struct program *p, pid_t *pid)
{
	char path[48];
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	int err;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", p->fd);
	err = posix_spawn_file_actions_init(&files);
	if (err != 0)
		return err;
	err = posix_spawnattr_init(&attr);
	if (err != 0) {
		(void)posix_spawn_file_actions_destroy(&files);
		return err;
	}
	err = add_files(&files, p);
	if (err == 0)
		err = set_attributes(&attr, p->session);
	/* It writes to neither: the interface is older than const. */
	if (err == 0)
		err = posix_spawn(pid, path, &files, &attr,
		    (char *const *)(const void *)p->args,
		    (char *const *)(const void *)p->environment);
	(void)posix_spawnattr_destroy(&attr);
	(void)posix_spawn_file_actions_destroy(&files);
	return err;
}
