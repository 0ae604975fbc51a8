/* One tile, step by step. Included once for each instruction set, whose name WALK has. */
#include <math.h>

#include "tile.h"

/* A step's ring plane of one channel, from the row at an offset from row `first` of this step on. */
static inline double *seen(const Tile *tile, double *ring, int channel, Offset offset, int first)
{
    int slot = (tile->step + offset.column + 2 * offset.row + 2 * RING) % RING;
    size_t at = ((size_t)channel * RING + (size_t)AT(slot, RING)) * tile->pitch;
    return ring + at + (size_t)AT(ABOVE + first + offset.row, tile->pitch - LANES + 1);
}

#define HERE ((Offset){0, 0})
#define WEST ((Offset){0, -1})
#define NORTH ((Offset){-1, 0})

#define REAL float
#define NAMED(name) name##_float
#include "adaptive.h"
#undef REAL
#undef NAMED
#define REAL double
#define NAMED(name) name##_double
#include "adaptive.h"
#undef REAL
#undef NAMED
/* Of the two kinds of numbers the one of this depth. */
#define ADAPTIVE(name, ...) (tile->bits <= 8 ? name##_float(__VA_ARGS__) : name##_double(__VA_ARGS__))

#include "product.h"
#include "network.h"
#include "choices.h"
#include "statistics.h"

/* Go to a step: which rows have a pixel, and nothing in what it will fill. */
static void go(Tile *tile, int step)
{
    const Model *model = tile->model;
    int late = step - tile->width + 1;
    size_t pitch = tile->pitch;
    tile->step = step;
    tile->start = late > 0 ? (late + 1) / 2 : 0;
    tile->stop = smaller(tile->height, step / 2 + 1);
    for (int c = 0; c < model->channels; c++)
        for (size_t i = 0; i < pitch; i++) {
            size_t at = ((size_t)c * RING + (size_t)(step % RING)) * pitch + i;
            tile->samples[at] = tile->outside;
            tile->errors[at] = tile->scaled[at] = 0.0;
        }
    /* Rows that ended since this storage was used must not be seen again. */
    for (int row = larger(0, tile->start - 1); row <= tile->start; row++) {
        for (size_t i = 0; i < tile->carried_count; i++)
            if (tile->bits <= 8)
                ((float *)tile->carried[step % 3])[i * pitch + (size_t)row] = 0;
            else
                ((double *)tile->carried[step % 3])[i * pitch + (size_t)row] = 0;
        for (size_t i = 0; i < (size_t)model->statistics; i++)
            tile->faded[step % 3][i * pitch + (size_t)row] = 0;
    }
    for (int row = larger(0, tile->start + CACHE_ABOVE - REACH); row < tile->start + CACHE_ABOVE; row++)
        for (int block = 0; block < model->depth; block++)
            for (int i = 0; i < model->width; i++) {
                size_t plane = ((size_t)block * REACH + (size_t)(step % REACH)) * (size_t)model->width + (size_t)i;
                tile->cache[plane * pitch + (size_t)row] = 0;
            }
}

/* What does not depend on the pixels of the step themselves. work: NULL where only inputs are asked for. */
static void begin(Tile *tile, NetworkWork *work)
{
    for (int first = tile->start; first < tile->stop; first += LANES) {
        for (int c = 0; c < tile->model->channels; c++) {
            const double *west = seen(tile, tile->samples, c, WEST, first);
            const double *north = seen(tile, tile->samples, c, NORTH, first);
            double *bases = tile->bases + c * tile->pitch + first;
            EACH_LANE bases[l] = (west[l] + north[l]) * 0.5;
        }
        local_scales(tile, first);
        ADAPTIVE(fade, tile, first);
        if (tile->step % 2 == 0)
            ADAPTIVE(fit, tile, first);
        ADAPTIVE(gather, tile, first);
        fade_statistics(tile, first);
        if (work)
            say(tile, work, first, smaller(LANES, tile->stop - first));
    }
}

/* The step's pixels in one channel, in samples [height][width][channels]. */
static void exchange(Tile *tile, int channel, int32_t *samples, int reading)
{
    int channels = tile->model->channels;
    for (int row = tile->start; row < tile->stop; row++) {
        size_t at = ((size_t)row * (size_t)tile->width + (size_t)(tile->step - 2 * row)) * (size_t)channels;
        int32_t *sample = samples + AT(at + (size_t)channel, (size_t)tile->height * tile->width * channels);
        if (reading)
            tile->values[row - tile->start] = *sample;
        else
            *sample = tile->values[row - tile->start];
    }
}

/* The true samples of a place, and how far they are from what was predicted. */
static void settle(Tile *tile, int place)
{
    int channel = tile->model->contexts[place].channel;
    for (int first = tile->start; first < tile->stop; first += LANES) {
        int lanes = smaller(LANES, tile->stop - first);
        double *sample = seen(tile, tile->samples, channel, HERE, first);
        double *error = seen(tile, tile->errors, channel, HERE, first);
        size_t at = channel * tile->pitch + (size_t)first;
        for (int l = 0; l < lanes; l++) {
            sample[l] = tile->values[first - tile->start + l];
            error[l] = sample[l] - tile->means[at + (size_t)l];
        }
        EACH_LANE tile->z[at + (size_t)l] = error[l] / tile->scales[at + (size_t)l];
        ADAPTIVE(settle, tile, place, first);
    }
}

static Outcome code_place(Tile *tile, NetworkWork *work, int place, int32_t *samples, Encoder *encoder,
                          Decoder *decoder)
{
    int channel = tile->model->contexts[place].channel;
    for (int first = tile->start; first < tile->stop; first += LANES) {
        double mean[LANES], *means = tile->means + channel * tile->pitch + first;
        ADAPTIVE(predict, tile, place, first, mean);
        EACH_LANE means[l] = snapped(mean[l], 256.0, 131072.0) / 256.0;
        if (work)
            mixture_of(tile, work, place, first);
    }
    if (!decoder)
        exchange(tile, channel, samples, 1);
    Outcome outcome = work ? code_step(tile, encoder, decoder) : DONE;
    if (outcome != DONE)
        return outcome;
    if (decoder)
        exchange(tile, channel, samples, 0);
    settle(tile, place);
    return DONE;
}

/* The inputs of the network that need a walk: errors of the step's pixels, statistics before them. */
static void tell(const Tile *tile, const Observed *observed)
{
    size_t channels = (size_t)tile->model->channels, statistics = (size_t)tile->model->statistics;
    for (int row = tile->start; row < tile->stop; row++) {
        size_t at = (size_t)row * (size_t)tile->width + (size_t)(tile->step - 2 * row);
        const double *sums = tile->faded[tile->step % 3] + row + 1;
        for (size_t c = 0; c < channels; c++)
            observed->errors[at * channels + c] = (float)*seen(tile, tile->errors, (int)c, HERE, row);
        for (size_t i = 0; i < statistics; i++)
            observed->statistics[at * statistics + i] = (float)(sums[i * tile->pitch] / (sums[0] + 4.0));
    }
}

static void learn(Tile *tile)
{
    for (int first = tile->start; first < tile->stop; first += LANES) {
        int lanes = smaller(LANES, tile->stop - first);
        ADAPTIVE(learn, tile, first, lanes);
        learn_statistics(tile, first, lanes);
    }
}

Outcome WALK(const Model *model, int height, int width, int bits, int32_t *samples, Encoder *encoder,
             Decoder *decoder, const Observed *observed, Poll poll, void *polled)
{
    Tile own, *tile = &own;
    if (tile_new(tile, model, height, width, bits, sizeof(NetworkWork)))
        return NO_MEMORY;
    NetworkWork *work = observed ? NULL : tile->work;
    if (work)
        work->products.sums = work->sums;
    Outcome outcome = DONE;
    int64_t pixels = 0;
    for (int step = 0; outcome == DONE && step < width + 2 * (height - 1); step++) {
        go(tile, step);
        begin(tile, work);
        for (int place = 0; outcome == DONE && place < model->channels; place++)
            outcome = code_place(tile, work, place, samples, encoder, decoder);
        if (observed)
            tell(tile, observed);
        learn(tile);
        pixels += tile->stop - tile->start + 1;
        if (outcome == DONE && pixels >= 4096) {
            outcome = poll(polled) ? STOPPED : DONE;
            pixels = 0;
        }
    }
    tile_free(tile);
    return outcome;
}
