/* The adaptive prediction (prior/adaptive.py) in numbers of type REAL: float up to 8 bits, else double. Included once for
   each. Sums of products are carried as [place][pair or target][row], in three turns of steps. */

/* The sums of what W, N and NE carry, into this step's own storage. */
static void NAMED(fade)(Tile *tile, int first)
{
    const REAL west = (REAL)0.48, north = (REAL)0.23, north_east = (REAL)0.26;
    size_t pitch = tile->pitch;
    const REAL *last = (const REAL *)tile->carried[(tile->step + 2) % 3] + first;
    const REAL *before = (const REAL *)tile->carried[(tile->step + 1) % 3] + first;
    REAL *own = (REAL *)tile->carried[tile->step % 3] + first + 1;
    for (size_t i = 0; i < tile->carried_count * pitch; i += pitch) {
        SOON(last + i + AHEAD * pitch + LANES);
        SOON(before + i + AHEAD * pitch + LANES - 1);
        SOON(own + i + AHEAD * pitch + LANES - 1);
        EACH_LANE {
            REAL sum = last[i + l + 1] * west;
            sum += last[i + l] * north_east;
            sum += before[i + l] * north;
            own[i + l] = sum;
        }
    }
}

/* Solves the system of a place, elimination without pivots; the solution is the last column. */
static inline void NAMED(solve)(REAL (*a)[MOST_INPUTS + 1][LANES], int n)
{
    for (int j = 0; j < n - 1; j++)
        for (int i = j + 1; i < n; i++) {
            REAL factor[LANES];
            EACH_LANE factor[l] = a[i][j][l] / a[j][j][l];
            for (int k = j + 1; k <= n; k++)
                EACH_LANE a[i][k][l] -= factor[l] * a[j][k][l];
        }
    for (int j = n - 1; j >= 0; j--) {
        EACH_LANE a[j][n][l] /= a[j][j][l];
        for (int i = 0; i < j; i++)
            EACH_LANE a[i][n][l] -= a[i][j][l] * a[j][n][l];
    }
}

/* Fits the weights of all places for a block of rows from the carried sums. */
static void NAMED(fit)(Tile *tile, int first)
{
    const Model *model = tile->model;
    int n = model->inputs, pairs = n * (n + 1) / 2;
    REAL system[MOST_INPUTS][MOST_INPUTS + 1][LANES];
    for (int place = 0; place < model->channels; place++) {
        const REAL *sums = (const REAL *)tile->carried[tile->step % 3] + first + 1;
        sums += (size_t)place * (pairs + n) * tile->pitch;
        size_t at = 0;
        for (int i = 0; i < n; i++)
            for (int j = i; j < n; j++, at += tile->pitch)
                EACH_LANE system[i][j][l] = system[j][i][l] = sums[at + l];
        for (int i = 0; i < n; i++, at += tile->pitch) {
            REAL start = (REAL)RIDGE * (REAL)model->contexts[place].start[i];
            EACH_LANE {
                system[i][i][l] += (REAL)RIDGE;
                system[i][n][l] = sums[at + l] + start;
            }
        }
        NAMED(solve)(system, n);
        REAL *weights = (REAL *)tile->weights + (size_t)place * n * tile->pitch + first;
        for (int i = 0; i < n; i++)
            EACH_LANE weights[i * tile->pitch + l] = system[i][n][l];
    }
}

/* Inputs of all places, less the bases; those from the pixel itself follow in `settle`. */
static void NAMED(gather)(Tile *tile, int first)
{
    const Model *model = tile->model;
    for (int place = 0; place < model->channels; place++) {
        const Context *context = &model->contexts[place];
        REAL *inputs = (REAL *)tile->inputs + (size_t)place * model->inputs * tile->pitch + first;
        for (int i = 0; i < model->inputs; i++, inputs += tile->pitch) {
            int channel = context->from[i];
            const double *base = tile->bases + channel * tile->pitch + first;
            if (later(context->at[i])) {
                EACH_LANE inputs[l] = 0;
                continue;
            }
            const double *sample = seen(tile, tile->samples, channel, context->at[i], first);
            EACH_LANE inputs[l] = (REAL)(sample[l] - base[l]);
        }
    }
}

/* Sum of n terms, always in the same order: halves are added until one is left. */
static inline void NAMED(total)(REAL (*x)[LANES], int n)
{
    while (n > 1) {
        int half = n / 2;
        for (int i = 0; i < half; i++)
            EACH_LANE x[i][l] += x[half + i][l];
        if (n % 2)
            EACH_LANE x[half][l] = x[n - 1][l];
        n = half + n % 2;
    }
}

/* Prediction of the channel of a place in samples, not rounded. */
static void NAMED(predict)(Tile *tile, int place, int first, double mean[LANES])
{
    int n = tile->model->inputs;
    const REAL *weights = (const REAL *)tile->weights + (size_t)place * n * tile->pitch + first;
    const REAL *inputs = (const REAL *)tile->inputs + (size_t)place * n * tile->pitch + first;
    const double *base = tile->bases + tile->model->contexts[place].channel * tile->pitch + first;
    REAL terms[MOST_INPUTS][LANES];
    for (int i = 0; i < n; i++)
        EACH_LANE terms[i][l] = weights[i * tile->pitch + l] * inputs[i * tile->pitch + l];
    NAMED(total)(terms, n);
    EACH_LANE mean[l] = (double)terms[0][l] + base[l];
}

/* The true samples of a place: its targets, and inputs of later places. */
static void NAMED(settle)(Tile *tile, int place, int first)
{
    const Model *model = tile->model;
    int channel = model->contexts[place].channel;
    const double *sample = seen(tile, tile->samples, channel, (Offset){0, 0}, first);
    const double *base = tile->bases + channel * tile->pitch + first;
    REAL relative[LANES], *targets = (REAL *)tile->targets + place * tile->pitch + first;
    EACH_LANE targets[l] = relative[l] = (REAL)(sample[l] - base[l]);
    for (int other = place + 1; other < model->channels; other++)
        for (int i = 0; i < model->inputs; i++) {
            const Context *context = &model->contexts[other];
            if (context->from[i] == channel && context->at[i].row == 0 && context->at[i].column == 0) {
                REAL *inputs = (REAL *)tile->inputs + ((size_t)other * model->inputs + i) * tile->pitch + first;
                EACH_LANE inputs[l] = relative[l];
            }
        }
}

/* Adds the pixels' own products to the sums that they carry. Lanes beyond the last row carry nothing. */
static void NAMED(learn)(Tile *tile, int first, int lanes)
{
    int n = tile->model->inputs;
    size_t pitch = tile->pitch;
    REAL *sums = (REAL *)tile->carried[tile->step % 3] + first + 1;
    for (int place = 0; place < tile->model->channels; place++) {
        const REAL *inputs = (const REAL *)tile->inputs + (size_t)place * n * pitch + first;
        const REAL *targets = (const REAL *)tile->targets + place * pitch + first;
        REAL rough[4][LANES], weighted[MOST_INPUTS][LANES];
        for (int i = 0; i < 4; i++)
            EACH_LANE rough[i][l] = inputs[i * pitch + l] * inputs[i * pitch + l];
        NAMED(total)(rough, 4);
        EACH_LANE rough[0][l] = (REAL)1.0 + rough[0][l] / (REAL)16.0;
        for (int i = 0; i < n; i++)
            EACH_LANE weighted[i][l] = inputs[i * pitch + l] / rough[0][l];
        for (int i = 0; i < n; i++)
            for (int j = i; j < n; j++, sums += pitch)
                EACH_LANE sums[l] += weighted[i][l] * inputs[j * pitch + l];
        for (int i = 0; i < n; i++, sums += pitch)
            EACH_LANE sums[l] += weighted[i][l] * targets[l];
    }
    sums = (REAL *)tile->carried[tile->step % 3] + first + 1;
    for (size_t i = 0; i < tile->carried_count; i++, sums += pitch)
        for (int l = lanes; l < LANES; l++)
            sums[l] = 0;
}
