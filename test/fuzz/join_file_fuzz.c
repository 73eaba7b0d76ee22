/* fuzz: common proto */
/* about: common/join_file.c */
#include "common/join_file.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What can be read can be written, and is the same then. */
static void again(const struct join_request *r)
{
	struct join_request back;
	struct fault fault;
	char *text = NULL;

	if (join_request_format(r, &text) != RC_OK)
		return;
	if (join_request_parse(text, strlen(text), &back, &fault) != RC_OK ||
	    back.role != r->role || back.csr_len != r->csr_len ||
	    strcmp(back.hostname, r->hostname) != 0 ||
	    strcmp(back.listen, r->listen) != 0)
		abort();
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct join_request request;
	struct fault fault;
	uint8_t *message = NULL;
	size_t len = 0;

	if (join_request_parse((const char *)data, size, &request, &fault) ==
	    RC_OK)
		again(&request);
	if (join_answer_parse(
		(const char *)data, size, &message, &len, &fault) == RC_OK)
		free(message);
	return 0;
}
