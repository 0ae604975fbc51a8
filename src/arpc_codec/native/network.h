/* The network (exact/pixel.py) on integers: activations are multiples of 2^-12 within +-128, [channel][LANES]. */

enum { ONE = 1 << 12, MOST = 128 * ONE, SILU_MOST = 64 << 9 };

typedef struct {
    Work products;
    int32_t x[MOST_WIDTH][LANES], normed[MOST_WIDTH][LANES], wide[MOST_WIDTH * 16][LANES];
    int32_t features[1024][LANES];
    double sums[MOST_WIDTH * 16 + GROUP][LANES];
} NetworkWork;

/* (x - mean) / sqrt(variance + eps). */
static void layer_norm(int32_t (*x)[LANES], int32_t (*out)[LANES], int width)
{
    double unit = 1.0 / ONE, count = width, mean[LANES], scale[LANES], variance[LANES] = {0};
    int32_t sum[LANES] = {0};
    for (int i = 0; i < width; i++)
        EACH_LANE sum[l] += x[i][l];
    EACH_LANE mean[l] = sum[l] * unit / count;
    for (int i = 0; i < width; i++)
        EACH_LANE {
            double centred = snapped(x[i][l] * unit - mean[l], ONE, 128.0) * unit;
            out[i][l] = (int32_t)(centred * ONE);
            variance[l] += centred * centred;
        }
    EACH_LANE scale[l] = sqrt(variance[l] / count + 1e-5);
    for (int i = 0; i < width; i++)
        EACH_LANE out[i][l] = (int32_t)snapped(out[i][l] * unit / scale[l], ONE, 32.0);
}

/* silu of multiples of 2^-9 within +-64, in place, on the activation grid. */
static void apply_silu(const Model *model, int32_t (*x)[LANES], int count)
{
    int half = model->silu_half;
    for (int i = 0; i < count; i++)
        EACH_LANE {
            int32_t own = x[i][l], index = held_int(own, -half, half);
            x[i][l] = model->silu[AT(index + half, 2 * half + 1)] + larger(own, 0) * 8;
        }
}

/* The masked depthwise convolution of the gates at the taps, rounded to multiples of 2^-9: sums of multiples of 2^-21
   below 2^28, exact in any order. */
static void mix(Tile *tile, int block, int first, const Block *layers, int32_t (*out)[LANES])
{
    const Model *model = tile->model;
    size_t plane = (size_t)model->width * tile->pitch;
    const float *from[MOST_OFFSETS];
    for (int tap = 0; tap < model->taps.count; tap++) {
        Offset offset = model->taps.at[tap];
        int ago = -(offset.column + 2 * offset.row), slot = (tile->step + REACH * 2 - ago) % REACH;
        size_t at = ((size_t)block * REACH + (size_t)slot) * plane + (size_t)(first + CACHE_ABOVE + offset.row);
        from[tap] = tile->cache + at;
    }
    for (int i = 0; i < model->width; i++) {
        double sum[LANES] = {0};
        for (int tap = 0; tap < model->taps.count; tap++) {
            double weight = layers->taps[(size_t)tap * model->width + i];
            const float *gate = from[tap] + i * tile->pitch;
            SOON(gate + AHEAD * tile->pitch + LANES - 1);
            EACH_LANE sum[l] += gate[l] * weight;
        }
        EACH_LANE out[i][l] = (int32_t)nearest(held(sum[l], -SILU_MOST, SILU_MOST));
    }
}

/* One gated block on x in place. */
static void apply_block(Tile *tile, NetworkWork *work, int block, int first, int lanes)
{
    const Model *model = tile->model;
    const Block *layers = &model->blocks[block];
    int width = model->width;
    int32_t(*x)[LANES] = work->x, (*normed)[LANES] = work->normed, (*wide)[LANES] = work->wide;
    layer_norm(x, normed, width);
    apply_layer(&work->products, &layers->both, normed, wide, MOST);
    float *gate = tile->cache + ((size_t)block * REACH + (size_t)(tile->step % REACH)) * width * tile->pitch;
    gate += first + CACHE_ABOVE;
    for (int i = 0; i < width; i++, gate += tile->pitch)
        /* Multiples of 2^-10 within +-32. Lanes beyond the last row are 0, as what is not coded yet. */
        EACH_LANE gate[l] = l < lanes ? (float)held_int(shifted(wide[i][l], 2), -32768, 32768) : 0.0f;
    mix(tile, block, first, layers, normed);
    apply_silu(model, normed, width);
    for (int i = 0; i < width; i++)
        EACH_LANE normed[i][l] = (int32_t)nearest(held((double)normed[i][l] * wide[width + i][l] / ONE, -MOST, MOST));
    apply_layer(&work->products, &layers->proj, normed, wide, MOST);
    for (int i = 0; i < width; i++)
        EACH_LANE x[i][l] = held_int(x[i][l] + wide[i][l], -MOST, MOST);
    layer_norm(x, normed, width);
    apply_layer(&work->products, &layers->up, normed, wide, SILU_MOST);
    apply_silu(model, wide, layers->up.outputs);
    apply_layer(&work->products, &layers->down, wide, normed, MOST);
    for (int i = 0; i < width; i++)
        EACH_LANE x[i][l] = held_int(x[i][l] + normed[i][l], -MOST, MOST);
}

/* Features that do not depend on the pixels themselves (prior/features.py); the number of them. */
static int features_of(Tile *tile, int first, int32_t (*out)[LANES])
{
    const Model *model = tile->model;
    int count = 0;
    const double *sums = tile->faded[tile->step % 3] + first + 1;
    for (int i = 0; i < model->statistics; i++, count++)
        EACH_LANE out[count][l] = (int32_t)snapped(sums[i * tile->pitch + l] / (sums[l] + 4.0), ONE, 128.0);
    for (int c = 0; c < model->channels; c++) {
        const double *unit = tile->scales + c * tile->pitch + first;
        /* The last of those nearby is N, the first W. */
        const double *west = seen(tile, tile->samples, c, model->nearby.at[0], first);
        const double *north = seen(tile, tile->samples, c, model->nearby.at[model->nearby.count - 1], first);
        for (int i = 0; i < model->errors.count; i++, count++) {
            const double *error = seen(tile, tile->errors, c, model->errors.at[i], first);
            EACH_LANE out[count][l] = (int32_t)snapped(error[l] / unit[l], ONE, 8.0);
        }
        for (int i = 0; i < model->nearby.count - 1; i++, count++) {
            const double *near = seen(tile, tile->samples, c, model->nearby.at[i], first);
            EACH_LANE {
                double base = (west[l] + north[l]) / 2.0;
                out[count][l] = (int32_t)snapped((near[l] - base) / unit[l], ONE, 8.0);
            }
        }
        EACH_LANE out[count][l] = (int32_t)snapped(unit[l] / (unit[l] + 1.0), ONE, 128.0);
        count++;
        EACH_LANE out[count][l] = (int32_t)snapped(unit[l] / (unit[l] + 8.0), ONE, 128.0);
        count++;
    }
    return count;
}

/* What the network says of a block of rows before it knows anything of their pixels. */
static void say(Tile *tile, NetworkWork *work, int first, int lanes)
{
    const Model *model = tile->model;
    features_of(tile, first, work->features);
    apply_layer(&work->products, &model->embed, work->features, work->x, MOST);
    for (int block = 0; block < model->depth; block++)
        apply_block(tile, work, block, first, lanes);
    int32_t(*hidden)[LANES] = (int32_t(*)[LANES])(tile->hidden + (size_t)(first - tile->start) * model->width);
    layer_norm(work->x, hidden, model->width);
}

/* The mixtures of the channel of a place, from what was said and the channels before it. */
static void mixture_of(Tile *tile, NetworkWork *work, int place, int first)
{
    const Model *model = tile->model;
    int width = model->width, k = model->mixtures, channel = model->contexts[place].channel;
    size_t pitch = tile->pitch;
    int32_t(*own)[LANES] = work->features;
    const double *mean = tile->means + channel * pitch + first, *base = tile->bases + channel * pitch + first;
    const double *scale = tile->scales + channel * pitch + first;
    memcpy(own, tile->hidden + (size_t)(first - tile->start) * width, sizeof(int32_t[LANES]) * (size_t)width);
    own += width;
    EACH_LANE own[0][l] = (int32_t)snapped((mean[l] - base[l]) / scale[l], ONE, 8.0);
    EACH_LANE own[1][l] = (int32_t)snapped(scale[l] / (scale[l] + 1.0), ONE, 128.0);
    EACH_LANE own[2][l] = (int32_t)snapped(scale[l] / (scale[l] + 8.0), ONE, 128.0);
    for (int before = 0; before < place; before++) {
        const double *z = tile->z + model->contexts[before].channel * pitch + first;
        EACH_LANE own[3 + 2 * before][l] = (int32_t)snapped(z[l], ONE, 8.0);
        EACH_LANE own[4 + 2 * before][l] = larger(own[3 + 2 * before][l], -own[3 + 2 * before][l]);
    }
    apply_layer(&work->products, &model->inner[place], work->features, work->wide, SILU_MOST);
    apply_silu(model, work->wide, model->head);
    int32_t(*out)[LANES] = work->normed, most[LANES];
    apply_layer(&work->products, &model->outer[place], work->wide, out, MOST);
    EACH_LANE most[l] = out[0][l];
    for (int i = 1; i < k; i++)
        EACH_LANE most[l] = larger(most[l], out[i][l]);
    double *parts = tile->mixture + first - tile->start, unit = 1.0 / ONE;
    for (int i = 0; i < k; i++, parts += pitch)
        EACH_LANE parts[l] = snapped(mean[l] + out[k + i][l] * unit * scale[l], 256.0, 262144.0) / 256.0;
    for (int i = 0; i < k; i++, parts += pitch)
        EACH_LANE {
            int half = model->rate_half, index = held_int(shifted(out[2 * k + i][l], 5), -half, half);
            double rate = snapped(model->rate[AT(index + half, 2 * half + 1)] / scale[l], 65536.0, 64.0);
            parts[l] = (rate > 1.0 ? rate : 1.0) / 65536.0;
        }
    for (int i = 0; i < k; i++, parts += pitch)
        EACH_LANE {
            int index = smaller(shifted(most[l] - out[i][l], 5), EXP_SIZE - 1);
            parts[l] = model->exp[AT(index, EXP_SIZE)];
        }
    EACH_LANE parts[l] = nearest(mean[l]);
}
