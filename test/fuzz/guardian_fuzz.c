/* fuzz: tentacle common proto */
/* about: tentacle/guardian/record.c tentacle/guardian/order.c */
#include "tentacle/guardian/order.h"
#include "tentacle/guardian/record.h"

#include "proto/crc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define CRC_LEN 13 /* " crc=" and eight digits */

/* Checksums would keep the fuzzer out: put right ones behind the lines. */
static void mend_record(uint8_t *file)
{
	for (int i = 0; i < GUARD_SLOTS; i++) {
		enum guard_slot slot = (enum guard_slot)i;
		uint8_t *p = file + guard_slot_offset(slot);
		size_t size = guard_slot_size(slot), len = size - 1;
		char crc[CRC_LEN + 1];

		while (len > 0 && p[len - 1] == ' ')
			len--;
		if (len > size - 1 - CRC_LEN)
			len = size - 1 - CRC_LEN;
		if (len == 0)
			continue;
		(void)snprintf(crc, sizeof(crc), " crc=%08x",
		    (unsigned)crc32_more(0, p, len));
		memset(p + len, ' ', size - 1 - len);
		p[size - 1] = '\n';
		memcpy(p + len, crc, CRC_LEN);
	}
}

/* What was read as valid can be written, and is then read as the same. */
static void read_record(const uint8_t *file, size_t len)
{
	struct guard_record r, back;

	if (guard_record_decode(bytes_of(file, len), &r) != RC_OK)
		return;
	for (int i = 0; i < GUARD_SLOTS; i++) {
		enum guard_slot slot = (enum guard_slot)i;
		uint8_t bytes[GUARD_TREE_SIZE];

		if (r.state[slot] != SLOT_VALID ||
		    guard_slot_encode(&r, slot, bytes) != RC_OK)
			continue;
		memset(&back, 0, sizeof(back));
		guard_slot_decode(
		    &back, slot, bytes_of(bytes, guard_slot_size(slot)));
		if (back.state[slot] != SLOT_VALID ||
		    (slot == GUARD_EXIT &&
			memcmp(&back.exit, &r.exit, sizeof(r.exit)) != 0))
			abort();
	}
}

static void read_order(uint8_t *data, size_t len)
{
	struct guard_order o, back;
	uint8_t *again = NULL;
	size_t size = 0;

	if (guard_order_decode(data, len, &o) != RC_OK)
		return;
	if (guard_order_encode(&o, &again, &size) == RC_OK) {
		if (guard_order_decode(again, size, &back) != RC_OK ||
		    back.env_count != o.env_count ||
		    back.arg_count != o.arg_count)
			abort();
		guard_order_clear(&back);
	}
	free(again);
	guard_order_clear(&o);
}

static void mend_order(uint8_t *data, size_t len)
{
	uint32_t crc;

	if (len < 12)
		return;
	memcpy(data, "LGORDER1", 8);
	crc = crc32_more(0, data + 12, len - 12);
	for (int i = 0; i < 4; i++)
		data[8 + i] = (uint8_t)(crc >> (8 * i));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t file[GUARD_RECORD_SIZE];
	uint8_t *copy = malloc(len + 1);

	if (copy == NULL)
		return 0;
	memset(file, ' ', sizeof(file));
	if (len > 0) {
		memcpy(copy, data, len);
		memcpy(file, data, len < sizeof(file) ? len : sizeof(file));
	}
	read_record(data, len);
	mend_record(file);
	read_record(file, sizeof(file));
	read_order(copy, len);
	mend_order(copy, len);
	read_order(copy, len);
	free(copy);
	return 0;
}
