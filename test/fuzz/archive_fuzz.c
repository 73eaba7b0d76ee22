/* fuzz: tentacle common proto */
/* about: tentacle/archive.c tentacle/tree.c */
#include "tentacle/archive.h"

#include "common/fs.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* A directory of its own for each process, emptied for each input. */
static int top = -1;
static char path[] = "/tmp/longarm-fuzz-XXXXXX";

static void remove_top(void)
{
	(void)rmdir(path);
}

static void make_top(void)
{
	if (mkdtemp(path) == NULL || atexit(remove_top) != 0)
		abort();
	top = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (top < 0)
		abort();
}

/* Nothing but our directory may ever be in there. */
static void look_around(void)
{
	struct stat st;

	if (fstat(top, &st) != 0 || st.st_nlink != 3)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct unpack_limits limits = { .entries = 100,
		.total_bytes = 1 << 20,
		.ratio = 100,
		.name_bytes = 200,
		.depth = 8 };
	struct unpack_report report;
	struct fault fault = { 0 };
	enum rc rc;
	int fd, into;

	if (top < 0)
		make_top();
	fd = memfd_create("package", MFD_CLOEXEC);
	if (fd < 0 || fs_write_all(fd, data, len) != RC_OK ||
	    mkdirat(top, "in", 0755) != 0)
		abort();
	into = openat(top, "in", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (into < 0)
		abort();
	rc = unpack(fd, into, &limits, NULL, &report, &fault);
	if (rc != RC_OK && fault.code == REASON_NONE)
		abort();
	look_around();
	(void)close(into);
	(void)close(fd);
	if (fs_remove_tree(top, "in", NULL) != RC_OK)
		abort();
	return 0;
}
