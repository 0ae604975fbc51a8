/* How errors behave: the local scale, and faded means of the errors in its units (prior/statistics.py). */

/* Weighted mean of the absolute errors nearby: multiples of 2^-11, exact in any order. */
static void local_scales(Tile *tile, int first)
{
    static const Offset near[6] = {{0, -1}, {-1, 0}, {-1, -1}, {-1, 1}, {0, -2}, {-2, 0}};
    for (int c = 0; c < tile->model->channels; c++) {
        double sum[LANES] = {0}, *scales = tile->scales + c * tile->pitch + first;
        for (int i = 0; i < 6; i++) {
            const double *error = seen(tile, tile->errors, c, near[i], first);
            double weight = i < 2 ? 2.0 : 1.0;
            EACH_LANE sum[l] += weight * fabs(error[l]);
        }
        EACH_LANE scales[l] = snapped((sum[l] + 4.0) / 8.0, ONE, 131072.0) / ONE;
    }
}

static void fade_statistics(Tile *tile, int first)
{
    size_t pitch = tile->pitch;
    const double *last = tile->faded[(tile->step + 2) % 3] + first, *before = tile->faded[(tile->step + 1) % 3] + first;
    double *own = tile->faded[tile->step % 3] + first + 1;
    for (size_t i = 0; i < (size_t)tile->model->statistics * pitch; i += pitch)
        EACH_LANE {
            double sum = last[i + l + 1] * 0.5;
            sum += last[i + l] * 0.26;
            sum += before[i + l] * 0.23;
            own[i + l] = sum;
        }
}

/* Takes in the errors of a block of rows, in units of their scale. Lanes beyond the last row carry nothing. */
static void learn_statistics(Tile *tile, int first, int lanes)
{
    int channels = tile->model->channels;
    size_t pitch = tile->pitch;
    double z[MOST_CHANNELS][LANES], *own = tile->faded[tile->step % 3] + first + 1, *sums = own;
    EACH_LANE sums[l] += 1.0;
    sums += pitch;
    for (int c = 0; c < channels; c++) {
        const double *west = seen(tile, tile->scaled, c, WEST, first);
        const double *north = seen(tile, tile->scaled, c, NORTH, first);
        EACH_LANE {
            double x = z[c][l] = held(tile->z[c * pitch + (size_t)(first + l)], -4.0, 4.0);
            sums[l] += fabs(x);
            sums[pitch + l] += x * x;
            sums[2 * pitch + l] += x * west[l];
            sums[3 * pitch + l] += x * north[l];
        }
        sums += 4 * pitch;
    }
    for (int i = 0; i < channels; i++)
        for (int j = i + 1; j < channels; j++, sums += pitch)
            EACH_LANE sums[l] += z[i][l] * z[j][l];
    for (int c = 0; c < channels; c++)
        memcpy(seen(tile, tile->scaled, c, HERE, first), z[c], (size_t)lanes * sizeof(double));
    for (int i = 0; i < tile->model->statistics; i++, own += pitch)
        for (int l = lanes; l < LANES; l++)
            own[l] = 0;
}
