#include "tile.h"

#include <stdlib.h>

/* The parts of a tile in one piece of memory: counted first, then handed out. */
typedef struct {
    uint8_t *memory;
    size_t size;
    int overflow;
} Parts;

static void *part(Parts *parts, size_t count, size_t each)
{
    uint8_t *found = parts->memory ? parts->memory + parts->size : NULL;
    if (each && count > (SIZE_MAX / 4 - parts->size) / each)
        parts->overflow = 1;
    else
        parts->size += (count * each + 63) / 64 * 64;
    return found;
}

static void lay_out(Tile *tile, Parts *parts, size_t work)
{
    const Model *model = tile->model;
    size_t pitch = tile->pitch, channels = (size_t)model->channels, inputs = (size_t)model->inputs;
    size_t real = tile->bits <= 8 ? sizeof(float) : sizeof(double), ring = channels * RING * pitch;
    tile->samples = part(parts, ring, sizeof(double));
    tile->errors = part(parts, ring, sizeof(double));
    tile->scaled = part(parts, ring, sizeof(double));
    for (int i = 0; i < 3; i++) {
        tile->carried[i] = part(parts, tile->carried_count * pitch, real);
        tile->faded[i] = part(parts, (size_t)model->statistics * pitch, sizeof(double));
    }
    tile->weights = part(parts, channels * inputs * pitch, real);
    tile->inputs = part(parts, channels * inputs * pitch, real);
    tile->targets = part(parts, channels * pitch, real);
    tile->bases = part(parts, channels * pitch, sizeof(double));
    tile->scales = part(parts, channels * pitch, sizeof(double));
    tile->means = part(parts, channels * pitch, sizeof(double));
    tile->z = part(parts, channels * pitch, sizeof(double));
    tile->hidden = part(parts, (size_t)model->width * pitch, sizeof(int32_t));
    tile->cache = part(parts, (size_t)model->depth * REACH * (size_t)model->width * pitch, sizeof(float));
    tile->mixture = part(parts, (3 * (size_t)model->mixtures + 1) * pitch, sizeof(double));
    tile->low = part(parts, pitch, sizeof(int32_t));
    tile->high = part(parts, pitch, sizeof(int32_t));
    tile->values = part(parts, pitch, sizeof(int32_t));
    tile->work = part(parts, 1, work);
}

int tile_new(Tile *tile, const Model *model, int height, int width, int bits, size_t work)
{
    Parts parts = {NULL, 0, 0};
    int n = model->inputs;
    memset(tile, 0, sizeof *tile);
    tile->model = model, tile->height = height, tile->width = width, tile->bits = bits;
    /* Blocks may reach beyond the last row, and windows beyond that. */
    tile->pitch = ((size_t)height + 2 * LANES + 2 * ABOVE + 15) / 16 * 16;
    tile->carried_count = (size_t)model->channels * (size_t)(n * (n + 1) / 2 + n);
    tile->outside = (double)(1 << (bits - 1));
    lay_out(tile, &parts, work);
    if (parts.overflow || !(tile->memory = calloc(1, parts.size + 64)))
        return -1;
    parts = (Parts){tile->memory + (64 - (uintptr_t)tile->memory % 64) % 64, 0, 0};
    lay_out(tile, &parts, work);
    for (size_t i = 0; i < (size_t)model->channels * RING * tile->pitch; i++)
        tile->samples[i] = tile->outside;
    return 0;
}

void tile_free(Tile *tile)
{
    free(tile->memory);
}
