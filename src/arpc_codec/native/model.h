/* The integers of a model as the kernels want them, and the lists of offsets that Python says once. */
#ifndef ARPC_MODEL_H
#define ARPC_MODEL_H

#include "common.h"

enum { MOST_CHANNELS = 3, MOST_OFFSETS = 32, MOST_INPUTS = 24, MOST_MIXTURES = 16, MOST_WIDTH = 256, GROUP = 4 };

typedef struct {
    int8_t row, column;
} Offset;

/* Not coded before: the pixel itself, or what says that a slot is empty. */
static inline int later(Offset offset) { return offset.column + 2 * offset.row >= 0; }

typedef struct {
    int count;
    Offset at[MOST_OFFSETS];
} Offsets;

/* Weights of a linear layer. A weight is 256 high + low, both within +-128, so that sums of 256 products with 16-bit
   inputs are 32-bit integers. Two inputs share a number, the second in its upper half:
   [outputs / GROUP][pairs][GROUP][high, low]. */
typedef struct {
    int inputs, outputs, pairs;
    int32_t *weights;
    double *scale, *bias; /* of each output, in units of the grid of what it gives */
} Layer;

typedef struct {
    Layer both, proj, up, down;
    double *taps; /* [taps][width] */
} Block;

/* Inputs of the prediction of one channel: where each stands; row 1 says that a slot is empty. */
typedef struct {
    int channel;
    int8_t from[MOST_INPUTS];
    Offset at[MOST_INPUTS];
    double start[MOST_INPUTS];
} Context;

typedef struct {
    int channels, width, depth, expand, head, mixtures, features, statistics, inputs;
    Offsets errors, nearby, taps;
    Context contexts[MOST_CHANNELS];
    Layer embed, inner[MOST_CHANNELS], outer[MOST_CHANNELS];
    Block *blocks;
    int32_t *silu; /* silu less max(x, 0), of multiples of 2^-9 in units of 2^-12 */
    double *rate, *slope, *table;
    double exp[2048];
    int silu_half, rate_half;
} Model;

enum { SIGMOID_HALF = 1280, EXP_SIZE = 2048 };

/* The bytes of one array. */
typedef struct {
    const void *data;
    size_t size;
} Bytes;

/* Sizes: channels, width, depth, expand, head, mixtures. Arrays: see `native/__init__.py`. NULL with a message in *why
   when they do not fit together or memory is short. */
Model *model_new(const int *sizes, const Bytes *arrays, size_t count, const char **why);
void model_free(Model *model);

#endif
