#include "tentacle/facts.h"

#include "common/clock.h"
#include "common/fs.h"

#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>

#define PROC_MAX 65536

/* "MemTotal:       16384 kB" at the start of a line, in bytes. */
static uint64_t meminfo_bytes(const char *text, const char *key)
{
	size_t len = strlen(key);

	while (text != NULL) {
		if (strncmp(text, key, len) == 0 && text[len] == ':')
			return strtoull(text + len + 1, NULL, 10) * 1024;
		text = strchr(text, '\n');
		text = text != NULL ? text + 1 : NULL;
	}
	return 0;
}

void facts_parse_meminfo(const char *text, struct msg_facts *out)
{
	out->memory_total = meminfo_bytes(text, "MemTotal");
	out->memory_available = meminfo_bytes(text, "MemAvailable");
}

/* "0.52 0.41 0.30 1/123 4567": two digits after the point. */
void facts_parse_loadavg(const char *text, struct msg_facts *out)
{
	for (int i = 0; i < 3; i++) {
		char *end;
		unsigned long whole = strtoul(text, &end, 10);
		unsigned long part = 0;

		if (end == text || *end != '.')
			return;
		text = end + 1;
		part = strtoul(text, &end, 10);
		if (end != text + 2 || whole > 1000000)
			return;
		out->load_milli[i] = (uint32_t)(whole * 1000 + part * 10);
		text = end + strspn(end, " ");
	}
}

void facts_parse_os(const char *text, char *out, size_t size)
{
	static const char key[] = "PRETTY_NAME=";
	size_t len;

	(void)snprintf(out, size, "unknown");
	while (text != NULL && strncmp(text, key, sizeof(key) - 1) != 0) {
		text = strchr(text, '\n');
		text = text != NULL ? text + 1 : NULL;
	}
	if (text == NULL)
		return;
	text += sizeof(key) - 1;
	len = strcspn(text, "\n");
	if (len >= 2 && (text[0] == '"' || text[0] == '\'') &&
	    text[len - 1] == text[0]) {
		text++;
		len -= 2;
	}
	if (len > 0 && len < size)
		(void)snprintf(out, size, "%.*s", (int)len, text);
}

/* Messages carry no control characters. */
static void make_plain(char *text)
{
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < 0x20 || c == 0x7f)
			*text = '?';
	}
}

static char *read_text(const char *path)
{
	uint8_t *data = NULL;
	size_t len = 0;

	if (fs_read_file(path, PROC_MAX, &data, &len, NULL) != RC_OK)
		return NULL;
	return (char *)data;
}

/* Only file systems on disks of this machine; a dead NFS server would block. */
static bool is_local_disk(const struct mntent *m)
{
	static const char *const types[] = { "ext2", "ext3", "ext4", "xfs",
		"btrfs", "zfs", "f2fs", "jfs", "reiserfs", "overlay", "vfat" };

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (strcmp(m->mnt_type, types[i]) == 0)
			return true;
	}
	return false;
}

static void add_disk(struct facts *f, const char *path)
{
	struct msg_facts *msg = &f->msg;
	struct msg_disk *disk = &f->disks[msg->disk_count];
	char *copy = f->disk_paths[msg->disk_count];
	struct statvfs fs;

	if (msg->disk_count == HEALTH_DISKS_MAX || strlen(path) > MSG_TEXT_MAX)
		return;
	if (statvfs(path, &fs) != 0 || fs.f_blocks == 0)
		return;
	(void)snprintf(copy, MSG_TEXT_MAX + 1, "%s", path);
	make_plain(copy);
	disk->path = bytes_text(copy);
	disk->total = (uint64_t)fs.f_blocks * (uint64_t)fs.f_frsize;
	disk->free = (uint64_t)fs.f_bavail * (uint64_t)fs.f_frsize;
	msg->disk_count++;
}

/* The same device is often mounted in several places: one is enough. */
static bool seen(dev_t *devices, size_t *count, const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return true;
	for (size_t i = 0; i < *count; i++) {
		if (devices[i] == st.st_dev)
			return true;
	}
	if (*count == HEALTH_DISKS_MAX)
		return true;
	devices[(*count)++] = st.st_dev;
	return false;
}

static void collect_disks(struct facts *f)
{
	dev_t devices[HEALTH_DISKS_MAX];
	size_t count = 0;
	char text[4096];
	struct mntent m;
	FILE *mounts;

	/* The root, whatever it is made of. */
	if (!seen(devices, &count, "/"))
		add_disk(f, "/");
	mounts = setmntent("/proc/self/mounts", "re");
	if (mounts == NULL)
		return;
	while (getmntent_r(mounts, &m, text, sizeof(text)) != NULL) {
		struct stat st;

		if (is_local_disk(&m) && stat(m.mnt_dir, &st) == 0 &&
		    S_ISDIR(st.st_mode) && !seen(devices, &count, m.mnt_dir))
			add_disk(f, m.mnt_dir);
	}
	(void)endmntent(mounts);
}

static void collect_system(struct facts *f)
{
	struct utsname u = { 0 };
	char *text = read_text("/etc/os-release");

	facts_parse_os(text != NULL ? text : "", f->os, sizeof(f->os));
	free(text);
	if (uname(&u) != 0)
		u = (struct utsname){ .release = "unknown",
			.machine = "unknown",
			.nodename = "unknown" };
	(void)snprintf(f->kernel, sizeof(f->kernel), "%s", u.release);
	(void)snprintf(f->arch, sizeof(f->arch), "%s", u.machine);
	(void)snprintf(f->hostname, sizeof(f->hostname), "%s", u.nodename);
	make_plain(f->os);
	make_plain(f->kernel);
	make_plain(f->hostname);
}

void facts_collect(struct facts *f)
{
	struct msg_facts *msg = &f->msg;
	int64_t now = clock_wall_ms();
	char *text;

	memset(f, 0, sizeof(*f));
	collect_system(f);
	text = read_text("/proc/meminfo");
	if (text != NULL)
		facts_parse_meminfo(text, msg);
	free(text);
	text = read_text("/proc/loadavg");
	if (text != NULL)
		facts_parse_loadavg(text, msg);
	free(text);
	collect_disks(f);
	msg->os = bytes_text(f->os);
	msg->kernel = bytes_text(f->kernel);
	msg->arch = bytes_text(f->arch);
	msg->hostname = bytes_text(f->hostname);
	msg->version = bytes_text(LONGARM_VERSION);
	msg->uptime_s = clock_boottime_us() / 1000000;
	msg->clock_ms = now > 0 ? (uint64_t)now : 0;
	msg->disks = f->disks;
}
