/* fuzz: common proto */
/* about: common/ini.c common/config_parse.c */
#include "common/config.h"
#include "common/config_private.h"
#include "common/ini.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const struct config_option options[] = {
	{ .section = "a",
	    .key = "string",
	    .type = CONFIG_STRING,
	    .choices = "one|two" },
	{ .section = "a", .key = "path", .type = CONFIG_PATH },
	{ .section = "a",
	    .key = "int",
	    .type = CONFIG_INT,
	    .min = -5,
	    .max = 5 },
	{ .section = "a",
	    .key = "duration",
	    .type = CONFIG_DURATION,
	    .min = 1000,
	    .max = 60000 },
	{ .section = "a", .key = "size", .type = CONFIG_SIZE },
	{ .section = "a", .key = "bool", .type = CONFIG_BOOL },
	{ .section = "a", .key = "endpoint", .type = CONFIG_ENDPOINT },
	{ .section = "a", .key = "proxy", .type = CONFIG_PROXY },
	{ .section = "a", .key = "list", .type = CONFIG_LIST },
};

/* A text is refused with words, or converted within its bounds. */
static void convert(const struct config_option *option, const char *text)
{
	struct config_value value = { 0 };
	char why[200] = "";

	if (config_value_set(&value, option, text, why, sizeof(why)) != RC_OK) {
		assert(why[0] != '\0');
		return;
	}
	assert(strcmp(value.text, text) == 0);
	assert(value.item_count <= CONFIG_LIST_MAX);
	for (size_t i = 0; i < value.item_count; i++)
		assert(value.items[i][0] != '\0');
	config_value_fini(&value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	size_t line = 0;
	enum ini_event event;
	struct ini ini;

	ini_init(&ini, (const char *)data, len);
	while ((event = ini_next(&ini)) != INI_END) {
		assert(ini.line > line);
		line = ini.line;
		assert(ini.column >= 1 && ini.column <= INI_LINE_MAX + 1);
		if (event == INI_ERROR) {
			assert(ini.error[0] != '\0');
			continue;
		}
		assert(ini.section[0] != '\0' && ini.key[0] != '\0');
		for (size_t i = 0; i < sizeof(options) / sizeof(options[0]);
		     i++) {
			if (strcmp(ini.key, options[i].key) == 0)
				convert(&options[i], ini.value);
		}
	}
	return 0;
}
