/* fuzz: proto */
/* about: proto/frame.c */
#include "proto/frame.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/*
 * Whatever comes: a header is read without a byte too many, what was read is
 * written back the same, and a decoder fed byte by byte sees the same frame.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct frame whole = { 0 }, piecewise = { 0 };
	uint8_t again[FRAME_HEADER_LEN];
	enum rc rc = frame_decode(data, len, &whole), rc2 = RC_AGAIN;

	for (size_t n = 0; n <= len && rc2 == RC_AGAIN; n++)
		rc2 = frame_decode(data, n, &piecewise);
	if (rc2 != rc)
		abort();
	if (rc != RC_OK)
		return 0;
	if (whole.len > FRAME_PAYLOAD_MAX ||
	    (size_t)whole.len + FRAME_HEADER_LEN > len)
		abort();
	frame_encode(&whole, again);
	if (memcmp(again, data, sizeof(again)) != 0 ||
	    frame_load_u32(again + 4) != whole.id || piecewise.id != whole.id ||
	    piecewise.type != whole.type)
		abort();
	if (frame_type_name(whole.type) == NULL)
		abort();
	return 0;
}
