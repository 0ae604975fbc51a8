/* The range coder of constriction's queue: 32-bit words, 64-bit state, probabilities of 24 bits. Why not constriction
   itself: it takes the counts of all 18 cells of a choice, and computing those costs more than all else here does; in C
   an encoder needs two of them and a decoder about six. tests/native compare the two coders. */
#ifndef ARPC_CODER_H
#define ARPC_CODER_H

#include "common.h"

enum { COUNT_BITS = 20, PART_BITS = 24 };

typedef struct {
    uint64_t low, range;
    uint8_t *data; /* `size` bytes of `room`; NULL after memory ran out */
    size_t size, room;
} Encoder;

typedef struct {
    uint64_t low, range, point;
    const uint8_t *data, *end;
} Decoder;

void encoder_start(Encoder *encoder);
/* The words so far without trailing zeros: how many bytes of data count. */
size_t encoder_seal(Encoder *encoder);
void encoder_grow(Encoder *encoder);
void decoder_start(Decoder *decoder, const uint8_t *data, size_t size);

static inline void put_word(Encoder *encoder, uint32_t word)
{
    if (encoder->size + 4 > encoder->room)
        encoder_grow(encoder);
    if (!encoder->data)
        return;
    for (int i = 0; i < 4; i++)
        encoder->data[encoder->size + i] = (uint8_t)(word >> (24 - 8 * i));
    encoder->size += 4;
}

static inline void carry(Encoder *encoder)
{
    size_t at = encoder->data ? encoder->size : 0;
    while (at && ++encoder->data[--at] == 0)
        ;
}

/* Code an interval of `parts` of 2^24 parts from `start` on. */
static inline void encode_parts(Encoder *encoder, uint32_t start, uint32_t parts)
{
    uint64_t unit = encoder->range >> PART_BITS, low = encoder->low + unit * start;
    if (low < encoder->low)
        carry(encoder);
    encoder->low = low;
    encoder->range = unit * parts;
    if (encoder->range >> 32 == 0) {
        put_word(encoder, (uint32_t)(encoder->low >> 32));
        encoder->low <<= 32;
        encoder->range <<= 32;
    }
}

/* Which of 2^24 parts comes next; 2^24 or more when the bytes are impossible. */
static inline uint64_t decoder_part(const Decoder *decoder)
{
    return (decoder->point - decoder->low) / (decoder->range >> PART_BITS);
}

static inline uint32_t next_word(Decoder *decoder)
{
    uint32_t word = 0;
    for (int i = 0; i < 4; i++)
        word = word << 8 | (decoder->data < decoder->end ? *decoder->data++ : 0);
    return word;
}

static inline void decode_parts(Decoder *decoder, uint32_t start, uint32_t parts)
{
    uint64_t unit = decoder->range >> PART_BITS;
    decoder->low += unit * start;
    decoder->range = unit * parts;
    if (decoder->range >> 32 == 0) {
        decoder->low <<= 32;
        decoder->range <<= 32;
        decoder->point = decoder->point << 32 | next_word(decoder);
    }
}

#endif
