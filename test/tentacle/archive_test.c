#include "tentacle/archive.h"

#include "common/fs.h"
#include "tentacle/tree.h"
#include "test/tentacle/tarball.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64];
static int into;
static struct tarball tar;
static struct unpack_limits limits;
static struct unpack_report report;
static struct fault fault;
static atomic_bool cancel;

static int set_up(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/longarm-archive-XXXXXX");
	assert_non_null(mkdtemp(dir));
	into = open(dir, O_RDONLY | O_DIRECTORY);
	assert_true(into >= 0);
	assert_int_equal(mkdirat(into, "in", 0755), 0);
	tar.len = 0;
	limits = (struct unpack_limits)UNPACK_LIMITS_DEFAULT;
	limits.keep_free = 0;
	atomic_store(&cancel, false);
	fault_clear(&fault);
	return 0;
}

static int tear_down(void **state)
{
	int fd = open("/tmp", O_RDONLY | O_DIRECTORY);

	(void)state;
	(void)close(into);
	assert_int_equal(fs_remove_tree(fd, dir + 5, NULL), RC_OK);
	(void)close(fd);
	return 0;
}

static void start_again(void)
{
	assert_int_equal(fs_remove_tree(into, "in", NULL), RC_OK);
	assert_int_equal(mkdirat(into, "in", 0755), 0);
	tar.len = 0;
}

static enum rc unpack_fd(int fd)
{
	int to = openat(into, "in", O_RDONLY | O_DIRECTORY);
	enum rc rc = unpack(fd, to, &limits, &cancel, &report, &fault);

	(void)close(to);
	(void)close(fd);
	return rc;
}

static int package_fd(const void *data, size_t len)
{
	int fd = openat(into, "package", O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fs_write_all(fd, data, len), RC_OK);
	return fd;
}

static enum rc unpack_tar(void)
{
	tarball_end(&tar);
	return unpack_fd(package_fd(tar.data, tar.len));
}

static void refused(const char *why)
{
	assert_int_equal(unpack_tar(), RC_PROTO);
	assert_int_equal(fault.code, REASON_BAD_PACKAGE);
	if (strstr(fault.text, why) == NULL)
		fail_msg("'%s' is not in '%s'", why, fault.text);
	/* Beside the package and our directory nothing has come to be. */
	assert_int_not_equal(faccessat(into, "evil", F_OK, 0), 0);
	assert_int_not_equal(access("/tmp/longarm-evil", F_OK), 0);
}

static mode_t mode_of(const char *name)
{
	struct stat st;

	assert_int_equal(fstatat(into, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st.st_mode;
}

static void holds(const char *name, const char *want)
{
	char path[FS_PATH_MAX];
	uint8_t *data = NULL;
	size_t len;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(fs_read_file(path, 1 << 20, &data, &len, NULL), RC_OK);
	assert_string_equal((char *)data, want);
	free(data);
}

static void test_files_directories_and_links_inside_are_unpacked(void **state)
{
	(void)state;
	tarball_add(&tar, '5', "./", "", "", 0700);
	tarball_add(&tar, '5', "bin/", "", "", 0700);
	tarball_add(&tar, '0', "bin/tool", "", "#!/bin/sh\n", 06777);
	tarball_add(&tar, '0', "./deep/er/file", "", "hi", 0);
	tarball_add(&tar, '2', "deep/up", "../bin/tool", "", 0777);
	tarball_add(&tar, '2', "deep/dir", "er", "", 0777);
	tarball_add(&tar, '1', "copy", "bin/tool", "", 0644);
	assert_int_equal(unpack_tar(), RC_OK);
	assert_int_equal(report.kind, UNPACK_PLAIN);
	assert_int_equal(report.entries, 7);
	holds("in/deep/up", "#!/bin/sh\n");
	holds("in/deep/dir/file", "hi");
	holds("in/copy", "#!/bin/sh\n");
	/* No set-uid, no write for others; always readable by us. */
	assert_int_equal(mode_of("in/bin/tool"), S_IFREG | 0755);
	assert_int_equal(mode_of("in/deep/er/file"), S_IFREG | 0600);
	assert_int_equal(mode_of("in/bin"), S_IFDIR | 0700);
	assert_int_equal(mode_of("in/deep"), S_IFDIR | 0755);
}

static void test_an_absolute_name_is_refused(void **state)
{
	(void)state;
	tarball_file(&tar, "fine", "x");
	tarball_file(&tar, "/tmp/longarm-evil", "x");
	refused("/tmp/longarm-evil");
}

static void test_two_dots_in_a_name_are_refused(void **state)
{
	static const char *const names[] = { "../evil", "a/../../evil", "a/..",
		"..", "./../evil" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		tar.len = 0;
		tarball_file(&tar, names[i], "x");
		refused("..");
	}
}

static void test_a_symbolic_link_out_is_refused(void **state)
{
	static const char *const targets[] = { "/etc", "..", "../evil",
		"a/../../evil", "./../x", "a/.." };

	(void)state;
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		tar.len = 0;
		tarball_add(&tar, '2', "link", targets[i], "", 0777);
		refused("may lead out");
	}
}

static void test_a_file_through_a_symbolic_link_is_refused(void **state)
{
	(void)state;
	tarball_add(&tar, '5', "d", "", "", 0755);
	tarball_add(&tar, '2', "s", "d", "", 0777);
	tarball_file(&tar, "s/evil", "x");
	refused("passes through");
	assert_int_not_equal(faccessat(into, "in/d/evil", F_OK, 0), 0);
}

static void test_a_chain_of_links_that_climbs_is_refused(void **state)
{
	(void)state;
	/* a/b/s is a; a/b/s/../.. by text is a/b/.., but really above. */
	tarball_add(&tar, '5', "a/b", "", "", 0755);
	tarball_add(&tar, '2', "a/b/s", "..", "", 0777);
	tarball_add(&tar, '2', "a/b/l", "s/../..", "", 0777);
	refused("may lead out");
}

static void test_a_file_over_a_symbolic_link_is_refused(void **state)
{
	(void)state;
	tarball_file(&tar, "x", "old");
	tarball_add(&tar, '2', "s", "x", "", 0777);
	tarball_file(&tar, "s", "new");
	refused("twice");
	holds("in/x", "old");
}

static void test_a_name_twice_is_refused(void **state)
{
	(void)state;
	tarball_file(&tar, "a", "1");
	tarball_file(&tar, "./a", "2");
	refused("twice");
}

static void test_a_directory_over_a_file_and_a_file_below_one_are_refused(
    void **state)
{
	(void)state;
	tarball_file(&tar, "a", "1");
	tarball_add(&tar, '5', "a/", "", "", 0755);
	refused("twice");
	tar.len = 0;
	assert_int_equal(unlinkat(into, "in/a", 0), 0);
	tarball_file(&tar, "a", "1");
	tarball_file(&tar, "a/b", "1");
	refused("passes through");
}

static void test_a_hard_link_out_is_refused(void **state)
{
	static const char *const targets[] = { "/etc/passwd", "../package",
		"missing", "d", "s", "" };

	(void)state;
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		start_again();
		tarball_add(&tar, '5', "d", "", "", 0755);
		tarball_add(&tar, '2', "s", "d", "", 0777);
		tarball_add(&tar, '1', "link", targets[i], "", 0644);
		assert_int_equal(unpack_tar(), RC_PROTO);
		assert_int_equal(fault.code, REASON_BAD_PACKAGE);
	}
}

static void test_devices_and_pipes_are_refused(void **state)
{
	static const char types[] = "346";

	(void)state;
	for (const char *type = types; *type != '\0'; type++) {
		tar.len = 0;
		tarball_add(&tar, *type, "evil-device", "", "", 0644);
		refused("device, pipe or socket");
	}
}

static void test_control_characters_and_long_names_are_refused(void **state)
{
	char longname[100];

	(void)state;
	tarball_file(&tar, "a\nb", "x");
	refused("control characters");
	tar.len = 0;
	memset(longname, 'a', 99);
	longname[99] = '\0';
	limits.name_bytes = 98;
	tarball_file(&tar, longname, "x");
	assert_int_equal(unpack_tar(), RC_LIMIT);
	assert_non_null(strstr(fault.text, "98"));
}

static void test_limits_on_entries_bytes_and_depth_hold(void **state)
{
	(void)state;
	limits.entries = 2;
	tarball_file(&tar, "a", "1");
	tarball_file(&tar, "b", "2");
	tarball_file(&tar, "c", "3");
	assert_int_equal(unpack_tar(), RC_LIMIT);
	limits.entries = 100;
	limits.total_bytes = 2;
	tar.len -= 1024;
	assert_int_equal(unpack_tar(), RC_LIMIT);
	assert_non_null(strstr(fault.text, "'c'"));
	limits.total_bytes = 3;
	limits.depth = 2;
	tar.len = 0;
	tarball_file(&tar, "a/b/c", "1");
	assert_int_equal(unpack_tar(), RC_LIMIT);
	assert_non_null(strstr(fault.text, "deep"));
}

static void test_a_full_disk_is_told_before_anything_is_written(void **state)
{
	(void)state;
	limits.keep_free = UINT64_MAX;
	tarball_file(&tar, "a", "1");
	assert_int_equal(unpack_tar(), RC_LIMIT);
	assert_int_equal(fault.code, REASON_NO_SPACE);
	assert_int_not_equal(faccessat(into, "in/a", F_OK, 0), 0);
}

static void test_what_is_no_package_is_refused(void **state)
{
	(void)state;
	assert_int_equal(unpack_fd(package_fd("hello world\n", 12)), RC_PROTO);
	assert_int_equal(fault.code, REASON_BAD_PACKAGE);
	assert_int_equal(unpack_fd(package_fd("", 0)), RC_PROTO);
}

static void test_a_package_cut_at_any_block_is_refused(void **state)
{
	(void)state;
	tarball_file(&tar, "a", "content of a");
	tarball_file(&tar, "b", "content of b");
	for (size_t len = 512; len < 2048; len += 512) {
		enum rc rc = unpack_fd(package_fd(tar.data, len));

		/* After whole entries tar cannot tell. */
		assert_int_equal(rc, len % 1024 == 0 ? RC_OK : RC_PROTO);
		assert_int_equal(fs_remove_tree(into, "in", NULL), RC_OK);
		assert_int_equal(mkdirat(into, "in", 0755), 0);
	}
}

static void test_cancel_stops_it(void **state)
{
	(void)state;
	atomic_store(&cancel, true);
	tarball_file(&tar, "a", "1");
	assert_int_equal(unpack_tar(), RC_STATE);
	assert_int_equal(fault.code, REASON_CANCELLED);
}

static void test_npm_loses_its_leading_directory(void **state)
{
	(void)state;
	tarball_file(&tar, "package/package.json", "{}");
	tarball_file(&tar, "package/dist/index.html", "hi");
	assert_int_equal(unpack_tar(), RC_OK);
	assert_int_equal(report.kind, UNPACK_NPM);
	holds("in/dist/index.html", "hi");
	holds("in/package.json", "{}");
}

/* --- Written by libarchive ---------------------------------------------- */

static void write_entry(
    struct archive *a, const char *name, const void *content, size_t len)
{
	struct archive_entry *e = archive_entry_new();

	archive_entry_set_pathname(e, name);
	archive_entry_set_filetype(e, AE_IFREG);
	archive_entry_set_perm(e, 0644);
	archive_entry_set_size(e, (la_int64_t)len);
	assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
	assert_int_equal(archive_write_data(a, content, len), len);
	archive_entry_free(e);
}

static enum rc unpack_made(int (*filter)(struct archive *),
    int (*format)(struct archive *), const char *const *names,
    const void *content, size_t len)
{
	char path[FS_PATH_MAX];
	struct archive *a = archive_write_new();

	(void)snprintf(path, sizeof(path), "%s/package", dir);
	assert_int_equal(format(a), ARCHIVE_OK);
	if (filter != NULL)
		assert_int_equal(filter(a), ARCHIVE_OK);
	assert_int_equal(archive_write_open_filename(a, path), ARCHIVE_OK);
	for (; *names != NULL; names++)
		write_entry(a, *names, content, len);
	assert_int_equal(archive_write_close(a), ARCHIVE_OK);
	assert_int_equal(archive_write_free(a), ARCHIVE_OK);
	return unpack_fd(open(path, O_RDONLY));
}

static void test_each_compression_is_taken(void **state)
{
	static int (*const filters[])(
	    struct archive *) = { archive_write_add_filter_gzip,
		archive_write_add_filter_xz, archive_write_add_filter_zstd };
	static const char *const names[][2] = { { "a", NULL }, { "b", NULL },
		{ "c", NULL } };

	(void)state;
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(unpack_made(filters[i],
				     archive_write_set_format_pax_restricted,
				     names[i], "data", 4),
		    RC_OK);
	holds("in/c", "data");
}

static void test_zip_and_nupkg_are_taken(void **state)
{
	const char *const plain[] = { "x/y.txt", NULL };
	const char *const nupkg[] = { "shop.nuspec", "[Content_Types].xml",
		"_rels/.rels", "package/services/metadata/x.psmdcp",
		"lib/a%20b%2Bc.dll", "100%.txt", NULL };

	(void)state;
	assert_int_equal(
	    unpack_made(NULL, archive_write_set_format_zip, plain, "hi", 2),
	    RC_OK);
	holds("in/x/y.txt", "hi");
	assert_int_equal(
	    unpack_made(NULL, archive_write_set_format_zip, nupkg, "hi", 2),
	    RC_OK);
	assert_int_equal(report.kind, UNPACK_NUPKG);
	holds("in/lib/a b+c.dll", "hi");
	holds("in/100%.txt", "hi");
	assert_int_not_equal(faccessat(into, "in/_rels", F_OK, 0), 0);
	assert_int_not_equal(faccessat(into, "in/package", F_OK, 0), 0);
	assert_int_not_equal(
	    faccessat(into, "in/[Content_Types].xml", F_OK, 0), 0);
}

static void test_an_encoded_way_out_of_a_nupkg_is_refused(void **state)
{
	const char *const nupkg[] = { "shop.nuspec", "[Content_Types].xml",
		"lib/%2e%2e/%2E%2E/evil", NULL };

	(void)state;
	assert_int_equal(
	    unpack_made(NULL, archive_write_set_format_zip, nupkg, "x", 1),
	    RC_PROTO);
	assert_non_null(strstr(fault.text, ".."));
}

static void test_a_bomb_is_refused(void **state)
{
	const char *const names[] = { "bomb", NULL };
	const size_t len = 80u << 20;
	void *zeros = calloc(1, len);

	(void)state;
	assert_non_null(zeros);
	assert_int_equal(
	    unpack_made(archive_write_add_filter_gzip,
		archive_write_set_format_pax_restricted, names, zeros, len),
	    RC_LIMIT);
	assert_non_null(strstr(fault.text, "times its packed size"));
	free(zeros);
}

/* --- Names -------------------------------------------------------------- */

static void test_links_are_judged_by_where_they_lead(void **state)
{
	(void)state;
	assert_true(tree_link_is_inside("a", "b"));
	assert_true(tree_link_is_inside("a/b/c", "../../x"));
	assert_true(tree_link_is_inside("a/b/c", "./.././x//y"));
	assert_false(tree_link_is_inside("a/b", "../../x"));
	assert_false(tree_link_is_inside("a", ".."));
	assert_false(tree_link_is_inside("a/b", "c/../d"));
	assert_false(tree_link_is_inside("a", "/x"));
	assert_false(tree_link_is_inside("a", ""));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_files_directories_and_links_inside_are_unpacked),
		TEST(test_an_absolute_name_is_refused),
		TEST(test_two_dots_in_a_name_are_refused),
		TEST(test_a_symbolic_link_out_is_refused),
		TEST(test_a_file_through_a_symbolic_link_is_refused),
		TEST(test_a_chain_of_links_that_climbs_is_refused),
		TEST(test_a_file_over_a_symbolic_link_is_refused),
		TEST(test_a_name_twice_is_refused),
		TEST(
		    test_a_directory_over_a_file_and_a_file_below_one_are_refused),
		TEST(test_a_hard_link_out_is_refused),
		TEST(test_devices_and_pipes_are_refused),
		TEST(test_control_characters_and_long_names_are_refused),
		TEST(test_limits_on_entries_bytes_and_depth_hold),
		TEST(test_a_full_disk_is_told_before_anything_is_written),
		TEST(test_what_is_no_package_is_refused),
		TEST(test_a_package_cut_at_any_block_is_refused),
		TEST(test_cancel_stops_it),
		TEST(test_npm_loses_its_leading_directory),
		TEST(test_each_compression_is_taken),
		TEST(test_zip_and_nupkg_are_taken),
		TEST(test_an_encoded_way_out_of_a_nupkg_is_refused),
		TEST(test_a_bomb_is_refused),
		cmocka_unit_test(test_links_are_judged_by_where_they_lead),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
