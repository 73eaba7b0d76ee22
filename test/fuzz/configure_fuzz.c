/* fuzz: tentacle common proto */
/* about: tentacle/configure.c tentacle/mask.c tentacle/tree.c */
#include "tentacle/configure.h"
#include "tentacle/mask.h"
#include "tentacle/tree.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void put_in(struct bytes text)
{
	const struct msg_pair variables[] = {
		{ bytes_text("a"), bytes_text("${a}") },
		{ bytes_text("b.c"), bytes_text("") },
	};
	const struct configure_values values = { variables, 2, variables, 1 };
	struct fault fault = { 0 };
	struct buf out;
	bool secret;
	enum rc rc;

	buf_init(&out, CONFIGURE_FILE_MAX);
	rc = configure_text(text, &values, "x", &out, &secret, &fault);
	/* A failure says why. */
	if (rc != RC_OK && fault.code == REASON_NONE)
		abort();
	buf_fini(&out);
}

/* The first bytes are a secret, the rest the output to be masked. */
static void blank(struct bytes text)
{
	size_t cut = text.len > 0 ? text.p[0] % 16 : 0;
	struct mask *m = NULL;
	uint8_t *out;

	if (cut + 1 > text.len)
		return;
	out = malloc(text.len);
	if (out == NULL || mask_new(&m) != RC_OK)
		abort();
	if (mask_add(m, bytes_of(text.p + 1, cut)) != RC_OK)
		abort();
	if (mask_copy(m, bytes_of(text.p + 1, text.len - 1), out) >
	    text.len - 1)
		abort();
	mask_free(m);
	free(out);
}

static void name(struct bytes text)
{
	char raw[512], clean[256];
	size_t depth;

	if (text.len >= sizeof(raw))
		return;
	for (size_t i = 0; i < text.len; i++)
		raw[i] = (char)text.p[i];
	raw[text.len] = '\0';
	if (tree_clean_name(raw, clean, sizeof(clean), &depth) ==
		TREE_NAME_OK &&
	    (clean[0] == '/' || depth == 0))
		abort();
	(void)tree_link_is_inside("a/b", raw);
	/* Whatever is a pattern stays within the tree. */
	if (configure_check_pattern(raw, NULL) == RC_OK && raw[0] == '/')
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	put_in(bytes_of(data, len));
	blank(bytes_of(data, len));
	name(bytes_of(data, len));
	return 0;
}
