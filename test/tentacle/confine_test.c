/*
 * What the network process cannot do any more: a child gives everything up and
 * then tries each call.
 */
#include "tentacle/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <pwd.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SKIPPED 77

/* --- In the child: its exit code is the number of the first surprise -------
 */

static char victim[] = "/tmp/longarm-confine-XXXXXX";

static long run_program(void)
{
	char *argv[] = { (char[]){ "true" }, NULL };

	return execve("/bin/true", argv, environ);
}

static long run_program_at(void)
{
	char *argv[] = { (char[]){ "true" }, NULL };

	return syscall(SYS_execveat, AT_FDCWD, "/bin/true", argv, environ, 0);
}

/* A child that is made all the same must not go on as us. */
static long stay_parent(long pid)
{
	if (pid == 0)
		_exit(0);
	return pid;
}

static long begin_process(void)
{
	return stay_parent(fork());
}

static long clone_process(void)
{
	return stay_parent(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
}

static long trace_parent(void)
{
	return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}

static long signal_parent(void)
{
	return kill(getppid(), 0);
}

static long signal_thread_of_parent(void)
{
	return syscall(SYS_tgkill, getppid(), getppid(), 0);
}

static long queue_to_thread_of_parent(void)
{
	siginfo_t info = { .si_code = SI_QUEUE };

	return syscall(
	    SYS_rt_tgsigqueueinfo, getppid(), getppid(), SIGUSR1, &info);
}

static long limit_parent(void)
{
	struct rlimit limit;

	return prlimit(getppid(), RLIMIT_NOFILE, NULL, &limit);
}

static long shorten(void)
{
	return ftruncate(0, 0);
}

static long change_mode_otherwise(void)
{
	return syscall(452, AT_FDCWD, victim, 0777, 0);
}

static long change_mount(void)
{
	return syscall(442, AT_FDCWD, "/", 0, NULL, 0);
}

static long watch_files(void)
{
	return syscall(SYS_fanotify_init, 0, 0);
}

static long packets(void)
{
	return socket(AF_PACKET, SOCK_RAW, 0);
}

static long local_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM, 0);
}

static long routes(void)
{
	return socket(AF_NETLINK, SOCK_RAW, 0);
}

static long listen_again(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return fd < 0 ? 0 : listen(fd, 1);
}

static long write_file(void)
{
	return open(victim, O_WRONLY);
}

static long append_to_file(void)
{
	return openat(AT_FDCWD, victim, O_RDWR | O_APPEND);
}

static long make_file(void)
{
	return open("/tmp/longarm-confine-new", O_CREAT | O_RDONLY, 0600);
}

static long remove_file(void)
{
	return unlink(victim);
}

static long rename_file(void)
{
	return rename(victim, "/tmp/longarm-confine-other");
}

static long make_dir(void)
{
	return mkdir("/tmp/longarm-confine-dir", 0700);
}

static long change_mode(void)
{
	return chmod(victim, 0777);
}

static long hidden_file(void)
{
	return memfd_create("x", 0);
}

static long be_root(void)
{
	return setresuid(0, 0, 0);
}

static long mount_it(void)
{
	return mount("none", "/mnt", "tmpfs", 0, NULL);
}

static long own_namespace(void)
{
	return unshare(CLONE_NEWUSER);
}

static long look_into_kernel(void)
{
	return syscall(SYS_bpf, 0, NULL, 0);
}

static const struct {
	const char *what;
	long (*call)(void);
} refused[] = {
	{ "execve", run_program },
	{ "execveat", run_program_at },
	{ "fork", begin_process },
	{ "clone", clone_process },
	{ "ptrace", trace_parent },
	{ "kill", signal_parent },
	{ "tgkill", signal_thread_of_parent },
	{ "rt_tgsigqueueinfo", queue_to_thread_of_parent },
	{ "prlimit64", limit_parent },
	{ "ftruncate", shorten },
	{ "fchmodat2", change_mode_otherwise },
	{ "mount_setattr", change_mount },
	{ "fanotify_init", watch_files },
	{ "AF_PACKET", packets },
	{ "AF_UNIX", local_socket },
	{ "AF_NETLINK", routes },
	{ "listen", listen_again },
	{ "open for writing", write_file },
	{ "openat for appending", append_to_file },
	{ "open with O_CREAT", make_file },
	{ "unlink", remove_file },
	{ "rename", rename_file },
	{ "mkdir", make_dir },
	{ "chmod", change_mode },
	{ "memfd_create", hidden_file },
	{ "setresuid", be_root },
	{ "mount", mount_it },
	{ "unshare", own_namespace },
	{ "bpf", look_into_kernel },
};

#define REFUSED_COUNT (sizeof(refused) / sizeof(refused[0]))

static void try_refused(void)
{
	for (size_t i = 0; i < REFUSED_COUNT; i++) {
		errno = 0;
		if (refused[i].call() == -1 && errno == EPERM)
			continue;
		(void)fprintf(stderr, "%s is possible, or failed with %d\n",
		    refused[i].what, errno);
		_exit(1);
	}
}

static void *other_thread(void *arg)
{
	(void)arg;
	try_refused();
	return NULL;
}

static void expect(bool good, const char *what)
{
	if (good)
		return;
	(void)fprintf(stderr, "%s does not work any more\n", what);
	_exit(2);
}

/* What links, TLS, name lookup and workers need. */
static void try_needed(void)
{
	pthread_t thread;
	struct rlimit limit;
	uint8_t bytes[16];
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	expect(fd >= 0 || errno == EAFNOSUPPORT, "socket(AF_INET6)");
	expect(socket(AF_INET, SOCK_DGRAM, 0) >= 0, "socket(AF_INET)");
	expect(open("/etc/hosts", O_RDONLY | O_CLOEXEC) >= 0 || errno == ENOENT,
	    "open for reading");
	expect(
	    getrandom(bytes, sizeof(bytes), 0) == sizeof(bytes), "getrandom");
	expect(syscall(SYS_tgkill, getpid(), gettid(), 0) == 0,
	    "a signal to itself");
	expect(getrlimit(RLIMIT_NOFILE, &limit) == 0, "its own limits");
	expect(mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED,
	    "mmap");
	expect(pthread_create(&thread, NULL, other_thread, NULL) == 0 &&
		   pthread_join(thread, NULL) == 0,
	    "a thread");
}

/* Waits for the filter that another thread takes. */
static void *early_thread(void *arg)
{
	const int *go = arg;
	char byte;

	if (read(*go, &byte, 1) == 1)
		try_refused();
	return NULL;
}

static void be_confined(void)
{
	pthread_t early;
	struct fault fault;
	int pipe_fds[2];
	enum rc rc;

	expect(pipe(pipe_fds) == 0 && pthread_create(&early, NULL, early_thread,
					  &pipe_fds[0]) == 0,
	    "the beginning");
	rc = confine_calls(&fault);
	if (rc == RC_NOTFOUND)
		_exit(SKIPPED);
	expect(rc == RC_OK, fault.text);
	try_refused();
	try_needed();
	expect(
	    write(pipe_fds[1], "x", 1) == 1 && pthread_join(early, NULL) == 0,
	    "an earlier thread");
	_exit(0);
}

static int run_child(void (*fn)(void))
{
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		fn();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* --- Tests -----------------------------------------------------------------
 */

static void test_what_it_has_no_use_for_is_refused_in_every_thread(void **state)
{
	int code, fd = mkstemp(victim);

	(void)state;
	assert_true(fd >= 0);
	(void)close(fd);
	code = run_child(be_confined);
	(void)unlink(victim);
	if (code == SKIPPED)
		skip();
	assert_int_equal(code, 0);
}

static void be_nobody(void)
{
	struct confine_user user;
	struct fault fault;
	FILE *status;
	char line[256];
	unsigned seen = 0;

	expect(confine_find_user("nobody", &user) == RC_OK, "nobody");
	expect(user.uid != 0, "nobody is not root");
	if (confine_become(&user, &fault) != RC_OK)
		_exit(3);
	expect(getuid() == user.uid && getegid() == user.gid, "the change");
	expect(setresuid(0, 0, 0) == -1, "no way back");
	status = fopen("/proc/self/status", "r");
	expect(status != NULL, "status");
	while (fgets(line, sizeof(line), status) != NULL) {
		if (strncmp(line, "CapEff:", 7) == 0 ||
		    strncmp(line, "CapPrm:", 7) == 0) {
			seen++;
			expect(strtoull(line + 7, NULL, 16) == 0, line);
		}
		if (strncmp(line, "Groups:", 7) == 0)
			expect(strspn(line + 7, " \t\n") == strlen(line + 7),
			    line);
	}
	expect(seen == 2, "capabilities");
	_exit(0);
}

static void test_root_becomes_nobody_without_a_way_back(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(run_child(be_nobody), 0);
}

static void test_who_is_not_root_becomes_nobody_else(void **state)
{
	(void)state;
	if (geteuid() == 0)
		skip();
	assert_int_equal(run_child(be_nobody), 3);
}

static void test_an_unknown_user_is_not_found(void **state)
{
	struct confine_user user;

	(void)state;
	assert_int_equal(
	    confine_find_user("longarm-no-such-user", &user), RC_NOTFOUND);
}

static int lookup_fails;

/* Takes the place of libc's in the next test. */
int getpwnam_r(const char *name, struct passwd *entry, char *text, size_t size,
    struct passwd **found)
{
	*found = NULL;
	if (lookup_fails == 0) {
		setpwent();
		while (getpwent_r(entry, text, size, found) == 0 &&
		       strcmp(entry->pw_name, name) != 0)
			*found = NULL;
		endpwent();
	}
	return lookup_fails;
}

/* Else it would stay root for a directory service that is slow once. */
static void test_a_failed_look_up_is_not_a_missing_user(void **state)
{
	static const int errors[] = { EIO, EMFILE, ENOMEM, ERANGE, EAGAIN };
	struct confine_user user;

	(void)state;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		lookup_fails = errors[i];
		assert_int_equal(confine_find_user("nobody", &user), RC_IO);
	}
	lookup_fails = ENOENT;
	assert_int_equal(confine_find_user("nobody", &user), RC_NOTFOUND);
	lookup_fails = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_what_it_has_no_use_for_is_refused_in_every_thread),
		cmocka_unit_test(test_root_becomes_nobody_without_a_way_back),
		cmocka_unit_test(test_who_is_not_root_becomes_nobody_else),
		cmocka_unit_test(test_an_unknown_user_is_not_found),
		cmocka_unit_test(test_a_failed_look_up_is_not_a_missing_user),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
