/* crc.h - CRC-32 as zlib's: tells a torn record in a file from a whole one.
 * It proves nothing against somebody who means harm. */
#ifndef PROTO_CRC_H
#define PROTO_CRC_H

#include <stddef.h>
#include <stdint.h>

/* Begin with crc 0; go on with what it returned. */
uint32_t crc32_more(uint32_t crc, const uint8_t *p, size_t len);

#endif
