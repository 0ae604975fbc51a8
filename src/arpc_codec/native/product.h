/* Matrix products in exact integers: 16-bit inputs with the high and the low part of 16-bit weights.

   A sum of at most 256 products of 2^15 and 2^7 stays within 2^30, whatever the order. Inputs beyond 16 bits are taken
   in rounds of at most 32767, which see only the pairs of which something is left. */

enum { MOST_PAIRS = 128 }; /* of a round */

#if defined(VECTORS_512)
typedef __m512i Vector;
#define VECTOR_LANES 16
#define ZERO _mm512_setzero_si512()
#define LOAD(p) _mm512_loadu_si512(p)
#define STORE(p, v) _mm512_storeu_si512(p, v)
#define SPREAD(x) _mm512_set1_epi32(x)
#define ADDED(sum, a, b) _mm512_dpwssd_epi32(sum, a, b)
#define DOUBLE_LANES 8
#define DOUBLES(p) _mm512_cvtepi32_pd(_mm256_loadu_si256((const __m256i *)(p)))
#define SAME(x) _mm512_set1_pd(x)
#define PLUS _mm512_add_pd
#define TIMES _mm512_mul_pd
#define HELD(x, limit) _mm512_min_pd(_mm512_max_pd(x, SAME(-(limit))), SAME(limit))
#define TO_INTS(p, x) _mm256_storeu_si256((__m256i *)(p), _mm512_cvtpd_epi32(x))
#elif defined(VECTORS_256)
typedef __m256i Vector;
#define VECTOR_LANES 8
#define ZERO _mm256_setzero_si256()
#define LOAD(p) _mm256_loadu_si256((const __m256i *)(p))
#define STORE(p, v) _mm256_storeu_si256((__m256i *)(p), v)
#define SPREAD(x) _mm256_set1_epi32(x)
#define ADDED(sum, a, b) _mm256_add_epi32(sum, _mm256_madd_epi16(a, b))
#define DOUBLE_LANES 4
#define DOUBLES(p) _mm256_cvtepi32_pd(_mm_loadu_si128((const __m128i *)(p)))
#define SAME(x) _mm256_set1_pd(x)
#define PLUS _mm256_add_pd
#define TIMES _mm256_mul_pd
#define HELD(x, limit) _mm256_min_pd(_mm256_max_pd(x, SAME(-(limit))), SAME(limit))
#define TO_INTS(p, x) _mm_storeu_si128((__m128i *)(p), _mm256_cvtpd_epi32(x))
#elif defined(VECTORS_128)
typedef __m128i Vector;
#define VECTOR_LANES 4
#define ZERO _mm_setzero_si128()
#define LOAD(p) _mm_loadu_si128((const __m128i *)(p))
#define STORE(p, v) _mm_storeu_si128((__m128i *)(p), v)
#define SPREAD(x) _mm_set1_epi32(x)
#define ADDED(sum, a, b) _mm_add_epi32(sum, _mm_madd_epi16(a, b))
#endif

/* Inputs of a round, two in a number, and which pairs of weights they belong to. */
typedef struct {
    int count;
    int16_t pair[MOST_PAIRS];
    int32_t x[MOST_PAIRS][LANES];
} Round;

/* high and low sums [GROUP][LANES] of one group of outputs. */
static inline void group_sums(const Round *round, const int32_t *weights, int32_t high[GROUP][LANES],
                              int32_t low[GROUP][LANES])
{
#ifdef VECTOR_LANES
    for (int first = 0; first < LANES; first += VECTOR_LANES) {
        Vector sums[GROUP][2];
        for (int out = 0; out < GROUP; out++)
            sums[out][0] = sums[out][1] = ZERO;
        for (int i = 0; i < round->count; i++) {
            const int32_t *own = weights + round->pair[i] * GROUP * 2;
            Vector x = LOAD(&round->x[i][first]);
            for (int out = 0; out < GROUP; out++)
                for (int part = 0; part < 2; part++)
                    sums[out][part] = ADDED(sums[out][part], x, SPREAD(own[2 * out + part]));
        }
        for (int out = 0; out < GROUP; out++) {
            STORE(&high[out][first], sums[out][0]);
            STORE(&low[out][first], sums[out][1]);
        }
    }
#else
    memset(high, 0, sizeof(int32_t[GROUP][LANES]));
    memset(low, 0, sizeof(int32_t[GROUP][LANES]));
    for (int i = 0; i < round->count; i++) {
        const int32_t *own = weights + round->pair[i] * GROUP * 2;
        for (int out = 0; out < GROUP; out++) {
            int32_t h = own[2 * out], w = own[2 * out + 1];
            EACH_LANE {
                int32_t a = (int16_t)round->x[i][l], b = round->x[i][l] >> 16;
                high[out][l] += a * (int16_t)h + b * (h >> 16);
                low[out][l] += a * (int16_t)w + b * (w >> 16);
            }
        }
    }
#endif
}

static inline int32_t joined(int32_t first, int32_t second)
{
    return (int32_t)((uint32_t)second << 16 | (uint16_t)first);
}

/* The only round of inputs that all fit 16 bits; 0 when they do not. */
static inline int whole_round(Round *round, int32_t (*inputs)[LANES], int count)
{
    int32_t wide[LANES] = {0}, any = 0;
    for (int pair = 0; pair < count / 2; pair++) {
        int32_t *a = inputs[2 * pair], *b = inputs[2 * pair + 1], *x = round->x[AT(pair, MOST_PAIRS)];
        EACH_LANE {
            wide[l] |= ((a[l] + 32768) | (b[l] + 32768)) & ~65535;
            x[l] = joined(a[l], b[l]);
        }
        round->pair[pair] = (int16_t)pair;
    }
    round->count = count / 2;
    if (count % 2) {
        int32_t *a = inputs[count - 1], *x = round->x[AT(round->count, MOST_PAIRS)];
        EACH_LANE {
            wide[l] |= (a[l] + 32768) & ~65535;
            x[l] = joined(a[l], 0);
        }
        round->pair[round->count] = (int16_t)round->count;
        round->count++;
    }
    EACH_LANE any |= wide[l];
    return !any;
}

/* Takes at most 32767 of every input of some pairs away from what is left of them; whether anything remains. */
static inline int take_round(Round *round, int32_t (*left)[LANES], int inputs, int first, int pairs)
{
    int32_t nothing[LANES] = {0}, remain = 0;
    round->count = 0;
    for (int pair = first; pair < first + pairs; pair++) {
        int32_t *a = left[AT(2 * pair, inputs)], *b = 2 * pair + 1 < inputs ? left[2 * pair + 1] : nothing;
        int32_t some = 0, *x = round->x[AT(round->count, MOST_PAIRS)];
        EACH_LANE {
            int32_t p = held_int(a[l], -32767, 32767), q = held_int(b[l], -32767, 32767);
            a[l] -= p, b[l] -= q;
            remain |= a[l] | b[l];
            some |= p | q;
            x[l] = joined(p, q);
        }
        round->pair[round->count] = (int16_t)pair;
        round->count += some != 0;
    }
    return remain != 0;
}

typedef struct {
    Round round;
    double (*sums)[LANES]; /* of the layer with most outputs, and GROUP more */
} Work;

/* Sums in units of the inputs' and the weights' grids -> rounded, in units of the grid of the layer. Scales are powers of
   two. */
static inline void finish(const Layer *layer, int out, const double sums[LANES], int32_t *outputs, double limit)
{
    double scale = layer->scale[out], bias = layer->bias[out];
    EACH_LANE outputs[l] = (int32_t)nearest(held(sums[l] * scale + bias, -limit, limit));
}

/* The same of the sums of one round. */
static inline void finish_parts(const Layer *layer, int out, const int32_t high[LANES], const int32_t low[LANES],
                                int32_t *outputs, double limit)
{
#ifdef DOUBLE_LANES
    for (int l = 0; l < LANES; l += DOUBLE_LANES)
        TO_INTS(outputs + l, HELD(PLUS(TIMES(PLUS(TIMES(DOUBLES(high + l), SAME(256.0)), DOUBLES(low + l)),
                                             SAME(layer->scale[out])),
                                       SAME(layer->bias[out])),
                                  limit));
#else
    double sums[LANES];
    EACH_LANE sums[l] = high[l] * 256.0 + low[l];
    finish(layer, out, sums, outputs, limit);
#endif
}

/* Inputs that do not fit one round. */
static void apply_rounds(Work *work, const Layer *layer, int32_t (*inputs)[LANES], int32_t (*outputs)[LANES],
                         double limit)
{
    int32_t high[GROUP][LANES], low[GROUP][LANES];
    memset(work->sums, 0, sizeof(double[LANES]) * (size_t)layer->outputs);
    for (int first = 0; first < layer->pairs; first += MOST_PAIRS)
        for (int more = 1; more;) {
            more = take_round(&work->round, inputs, layer->inputs, first, smaller(MOST_PAIRS, layer->pairs - first));
            for (int group = 0; group < layer->outputs; group += GROUP) {
                group_sums(&work->round, layer->weights + (size_t)group * layer->pairs * 2, high, low);
                for (int out = group; out < smaller(group + GROUP, layer->outputs); out++)
                    EACH_LANE work->sums[out][l] += high[out - group][l] * 256.0 + low[out - group][l];
            }
        }
    for (int out = 0; out < layer->outputs; out++)
        finish(layer, out, work->sums[out], outputs[out], limit);
}

/* Of inputs [inputs][LANES], multiples of 2^-12, which may be used up, outputs [outputs][LANES] in units of the grid of
   the layer, rounded and held inside +-limit. */
static void apply_layer(Work *work, const Layer *layer, int32_t (*inputs)[LANES], int32_t (*outputs)[LANES],
                        double limit)
{
    int32_t high[GROUP][LANES], low[GROUP][LANES];
    if (layer->pairs > MOST_PAIRS || !whole_round(&work->round, inputs, layer->inputs)) {
        apply_rounds(work, layer, inputs, outputs, limit);
        return;
    }
    for (int group = 0; group < layer->outputs; group += GROUP) {
        group_sums(&work->round, layer->weights + (size_t)group * layer->pairs * 2, high, low);
        for (int out = group; out < smaller(group + GROUP, layer->outputs); out++)
            finish_parts(layer, out, high[out - group], low[out - group], outputs[out], limit);
    }
}
