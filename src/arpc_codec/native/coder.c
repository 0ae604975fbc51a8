#include "coder.h"

#include <stdlib.h>

void encoder_start(Encoder *encoder)
{
    *encoder = (Encoder){0, UINT64_MAX, malloc(4096), 0, 4096};
}

void encoder_grow(Encoder *encoder)
{
    uint8_t *larger = encoder->data ? realloc(encoder->data, 2 * encoder->room) : NULL;
    if (!larger)
        free(encoder->data);
    encoder->data = larger;
    encoder->room = larger ? 2 * encoder->room : SIZE_MAX;
}

size_t encoder_seal(Encoder *encoder)
{
    if (encoder->range != UINT64_MAX) {
        uint64_t point = encoder->low + UINT32_MAX; /* the first number of the interval that ends in a word of zeros */
        if (point < encoder->low)
            carry(encoder);
        put_word(encoder, (uint32_t)(point >> 32));
    }
    while (encoder->data && encoder->size && encoder->data[encoder->size - 1] == 0)
        encoder->size--;
    return encoder->size;
}

void decoder_start(Decoder *decoder, const uint8_t *data, size_t size)
{
    *decoder = (Decoder){0, UINT64_MAX, 0, data, data + size};
    uint64_t first = next_word(decoder);
    decoder->point = first << 32 | next_word(decoder);
}
