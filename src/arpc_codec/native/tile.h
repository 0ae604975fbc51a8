/* What is kept while one tile is walked. Rows stand side by side: [quantity][row], `pitch` apart. */
#ifndef ARPC_TILE_H
#define ARPC_TILE_H

#include "coder.h"
#include "model.h"

#define RIDGE 4.0

/* Steps that rings keep: offsets reach twelve steps and three rows back. Steps that the cache of a block keeps. */
enum { RING = 16, ABOVE = 3, REACH = 7, CACHE_ABOVE = 2 };

typedef struct {
    const Model *model;
    int height, width, bits, step, start, stop; /* the rows that have a pixel in this step */
    size_t pitch, carried_count;
    double outside; /* sample beyond the tile */
    double *samples, *errors, *scaled; /* [channel][step modulo RING][ABOVE + row] */
    void *carried[3], *weights, *inputs, *targets; /* float up to 8 bits, else double */
    double *faded[3]; /* sums of the statistics, as `carried` */
    double *bases, *scales, *means, *z; /* [channel][row] */
    int32_t *hidden; /* [row / LANES][width][LANES]: what the network says before the heads */
    float *cache; /* [block][step modulo REACH][width][CACHE_ABOVE + row] */
    double *mixture; /* [mean, rate, weight of each][row], then the centres */
    int32_t *low, *high; /* [row]: the cell that a sample is known to be in */
    int32_t *values; /* [row] */
    void *work;
    uint8_t *memory;
} Tile;

/* Where the network's inputs go when a tile is only looked at: float [height][width][channels or statistics]. */
typedef struct {
    float *errors, *statistics;
} Observed;

/* Walks one tile; see walk.h. `poll` is called after some pixels, and ends the walk by a result other than 0. */
typedef int (*Poll)(void *);
typedef enum { DONE, IMPOSSIBLE, STOPPED, NO_MEMORY } Outcome;
typedef Outcome (*Walk)(const Model *model, int height, int width, int bits, int32_t *samples, Encoder *encoder,
                        Decoder *decoder, const Observed *observed, Poll poll, void *polled);

Outcome walk_base(const Model *, int, int, int, int32_t *, Encoder *, Decoder *, const Observed *, Poll, void *);
Outcome walk_avx2(const Model *, int, int, int, int32_t *, Encoder *, Decoder *, const Observed *, Poll, void *);
Outcome walk_avx512(const Model *, int, int, int, int32_t *, Encoder *, Decoder *, const Observed *, Poll, void *);

int tile_new(Tile *tile, const Model *model, int height, int width, int bits, size_t work);
void tile_free(Tile *tile);

#endif
