#include "proto/feature.h"

static const char *const feature_names[FEATURE_COUNT] = {
	[FEATURE_USER] = "user",
	[FEATURE_LIMITS] = "limits",
	[FEATURE_LOCKS] = "locks",
};

const char *feature_name(enum feature feature)
{
	return feature < FEATURE_COUNT ? feature_names[feature] : "?";
}

uint32_t features_read(const struct msg_text_list *names)
{
	uint32_t bits = 0;

	for (size_t i = 0; i < names->count; i++) {
		for (unsigned f = 0; f < FEATURE_COUNT; f++) {
			if (bytes_equal(
				names->items[i], bytes_text(feature_names[f])))
				bits |= FEATURE_BIT(f);
		}
	}
	return bits;
}

void features_list(struct bytes names[FEATURE_COUNT], struct msg_text_list *out)
{
	for (unsigned f = 0; f < FEATURE_COUNT; f++)
		names[f] = bytes_text(feature_names[f]);
	*out = (struct msg_text_list){ names, FEATURE_COUNT };
}
