/* The filter of system calls.  What is not named here is allowed. */
#include "tentacle/confine.h"

#include <errno.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define NO_FILTER "a build with a sanitizer"
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define NO_FILTER "a build with a sanitizer"
#endif
#endif

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#elif !defined(NO_FILTER)
#define NO_FILTER "this processor"
#endif

#ifdef NO_FILTER

enum rc confine_calls(struct fault *fault)
{
	fault_set(fault, REASON_INTERNAL, "",
	    "no filter of system calls is made for %s", NO_FILTER);
	return RC_NOTFOUND;
}

#else

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Younger than our headers; all processors have the same. */
#define NR_MOUNT_SETATTR 442
#define NR_FCHMODAT2     452

/* Refused whatever they are given. */
static const uint32_t refused[] = {
	/* other programs, other processes */
	__NR_execve,
	__NR_execveat,
	__NR_ptrace,
	__NR_process_vm_readv,
	__NR_process_vm_writev,
	__NR_process_madvise,
	__NR_kcmp,
	__NR_kill,
	__NR_tkill,
	__NR_pidfd_send_signal,
	__NR_pidfd_getfd,
	__NR_rt_sigqueueinfo,
	__NR_rt_tgsigqueueinfo,
	__NR_unshare,
	__NR_setns,
	__NR_personality,
	/* users */
	__NR_setuid,
	__NR_setgid,
	__NR_setreuid,
	__NR_setregid,
	__NR_setresuid,
	__NR_setresgid,
	__NR_setgroups,
	__NR_setfsuid,
	__NR_setfsgid,
	__NR_capset,
	/* files: what open() does is judged by its flags */
	__NR_unlinkat,
	__NR_renameat2,
	__NR_linkat,
	__NR_symlinkat,
	__NR_mkdirat,
	__NR_mknodat,
	__NR_fchmod,
	__NR_fchmodat,
	NR_FCHMODAT2,
	__NR_fchown,
	__NR_fchownat,
	__NR_truncate,
	__NR_ftruncate,
	__NR_fallocate,
	__NR_fanotify_init,
	__NR_utimensat,
	__NR_setxattr,
	__NR_lsetxattr,
	__NR_fsetxattr,
	__NR_removexattr,
	__NR_lremovexattr,
	__NR_fremovexattr,
	__NR_memfd_create,
	__NR_open_by_handle_at,
	__NR_quotactl,
	__NR_acct,
	/* file systems */
	__NR_mount,
	__NR_umount2,
	__NR_pivot_root,
	__NR_chroot,
	__NR_move_mount,
	__NR_open_tree,
	__NR_fsopen,
	__NR_fsmount,
	__NR_fsconfig,
	__NR_fspick,
	NR_MOUNT_SETATTR,
	__NR_swapon,
	__NR_swapoff,
	/* the kernel */
	__NR_bpf,
	__NR_perf_event_open,
	__NR_userfaultfd,
	__NR_io_uring_setup,
	__NR_io_uring_enter,
	__NR_io_uring_register,
	__NR_add_key,
	__NR_request_key,
	__NR_keyctl,
	__NR_init_module,
	__NR_finit_module,
	__NR_delete_module,
	__NR_kexec_load,
	__NR_reboot,
	__NR_settimeofday,
	__NR_clock_settime,
	__NR_clock_adjtime,
	__NR_adjtimex,
	__NR_sethostname,
	__NR_setdomainname,
	/* ways in: the listener is there already */
	__NR_listen,
	__NR_shmget,
	__NR_shmat,
	__NR_msgget,
	__NR_semget,
#ifdef __x86_64__
	__NR_fork,
	__NR_vfork,
	__NR_unlink,
	__NR_rename,
	__NR_renameat,
	__NR_link,
	__NR_symlink,
	__NR_mkdir,
	__NR_rmdir,
	__NR_mknod,
	__NR_chmod,
	__NR_chown,
	__NR_lchown,
	__NR_creat,
	__NR_utime,
	__NR_utimes,
	__NR_futimesat,
	__NR_iopl,
	__NR_ioperm,
	__NR_kexec_file_load,
#endif
};

/* As if the kernel did not know them: who calls falls back to those whose
 * arguments can be looked at. */
static const uint32_t unknown[] = { __NR_clone3, __NR_openat2 };

#define WRITE_FLAGS                                                            \
	((uint32_t)(O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND))
#define PROGRAM_MAX 512

struct program {
	struct sock_filter steps[PROGRAM_MAX];
	unsigned short count;
	bool full;
};

static void add(struct program *p, struct sock_filter step)
{
	if (p->count == PROGRAM_MAX) {
		p->full = true;
		return;
	}
	p->steps[p->count++] = step;
}

static void add_load(struct program *p, size_t offset)
{
	add(p, (struct sock_filter)BPF_STMT(
		   BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset));
}

/* Go on with the next step when the test (BPF_JEQ...) of what was loaded is
 * true, else leave out `skip` of them. */
static void add_test(
    struct program *p, uint16_t test, uint32_t value, uint8_t skip)
{
	add(p, (struct sock_filter)BPF_JUMP(
		   (uint16_t)(BPF_JMP | test | BPF_K), value, 0, skip));
}

static void add_end(struct program *p, int error)
{
	add(p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K,
		   error == 0 ? SECCOMP_RET_ALLOW
			      : SECCOMP_RET_ERRNO | (uint32_t)error));
}

static void add_list(
    struct program *p, const uint32_t *calls, size_t count, int error)
{
	for (size_t i = 0; i < count; i++) {
		add_test(p, BPF_JEQ, calls[i], 1);
		add_end(p, error);
	}
}

/* The lower half of an argument, where flags and small numbers are. */
static void add_argument(struct program *p, unsigned which)
{
	add_load(
	    p, offsetof(struct seccomp_data, args) + which * sizeof(uint64_t));
}

/* A call of that number is over within these steps. */
static void add_open(struct program *p, uint32_t call, unsigned flags)
{
	add_test(p, BPF_JEQ, call, 4);
	add_argument(p, flags);
	add_test(p, BPF_JSET, WRITE_FLAGS, 1);
	add_end(p, EPERM);
	add_end(p, 0);
}

static void add_clone(struct program *p)
{
	add_test(p, BPF_JEQ, __NR_clone, 4);
	add_argument(p, 0);
	add_test(p, BPF_JSET, CLONE_THREAD, 1);
	add_end(p, 0);
	add_end(p, EPERM);
}

/* Of a process: our own alone, which is called by this number. */
static void add_own(struct program *p, uint32_t call, uint32_t number)
{
	add_test(p, BPF_JEQ, call, 4);
	add_argument(p, 0);
	add_test(p, BPF_JEQ, number, 1);
	add_end(p, 0);
	add_end(p, EPERM);
}

static void add_socket(struct program *p)
{
	add_test(p, BPF_JEQ, __NR_socket, 6);
	add_argument(p, 0);
	add_test(p, BPF_JEQ, AF_INET, 1);
	add_end(p, 0);
	add_test(p, BPF_JEQ, AF_INET6, 1);
	add_end(p, 0);
	add_end(p, EPERM);
}

static void make(struct program *p)
{
	/* Another processor's numbers would be read as ours. */
	add_load(p, offsetof(struct seccomp_data, arch));
	add(p, (struct sock_filter)BPF_JUMP(
		   BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCH, 1, 0));
	add_end(p, EPERM);
	add_load(p, offsetof(struct seccomp_data, nr));
#ifdef __x86_64__
	/* The numbers of x32 begin here. */
	add_test(p, BPF_JGE, 0x40000000, 1);
	add_end(p, EPERM);
#endif
	add_list(p, refused, sizeof(refused) / sizeof(refused[0]), EPERM);
	add_list(p, unknown, sizeof(unknown) / sizeof(unknown[0]), ENOSYS);
	add_clone(p);
	add_own(p, __NR_tgkill, (uint32_t)getpid());
	add_own(p, __NR_prlimit64, 0);
	add_socket(p);
	add_open(p, __NR_openat, 2);
#ifdef __x86_64__
	add_open(p, __NR_open, 1);
#endif
	add_end(p, 0);
}

enum rc confine_calls(struct fault *fault)
{
	struct program p = { .count = 0 };
	struct sock_fprog given = { .filter = p.steps };
	long failed;

	make(&p);
	given.len = p.count;
	if (p.full) {
		fault_set(fault, REASON_INTERNAL, "", "the filter is too long");
		return RC_LIMIT;
	}
	failed = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (failed == 0)
		failed = syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER,
		    SECCOMP_FILTER_FLAG_TSYNC, &given);
	if (failed == 0)
		return RC_OK;
	fault_set(fault, REASON_INTERNAL, "",
	    "the kernel takes no filter of system calls: %s",
	    strerrordesc_np(failed > 0 ? EINVAL : errno));
	return RC_NOTFOUND;
}

#endif
