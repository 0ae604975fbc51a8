/* Samples <-> choices among cells (entropy/mixture.py): here only the masses that a coder asks for are computed. */

enum { CELLS = 16 };

/* The distribution of one sample, and the cell that it is known to be in. */
typedef struct {
    const Model *model;
    double mean[MOST_MIXTURES], rate[MOST_MIXTURES], weight[MOST_MIXTURES]; /* mean + 1/2; rate in cells of the table */
    double floor, whole, alphabet, first, size; /* the window, and how large its cells are */
} Sample;

static void sample_at(const Tile *tile, int index, Sample *out)
{
    const Model *model = tile->model;
    int k = model->mixtures;
    const double *parts = tile->mixture + index;
    double weights = 0.0, scale = 0.0, largest = CELLS;
    out->model = model;
    for (int i = 0; i < k; i++) {
        double rate = parts[(size_t)(k + i) * tile->pitch], weight = parts[(size_t)(2 * k + i) * tile->pitch];
        out->mean[i] = parts[(size_t)i * tile->pitch] + 0.5;
        out->rate[i] = rate * 64.0;
        out->weight[i] = weight;
        weights += weight;
        scale += weight / rate;
    }
    scale /= weights;
    out->alphabet = (double)(1 << tile->bits);
    out->floor = (double)((int64_t)1 << (34 - tile->bits));
    out->whole = weights * 68719476736.0 + 17179869184.0; /* 2^36, 2^34 */
    for (out->size = 1.0; largest < out->alphabet; largest *= CELLS)
        out->size *= scale > largest / 12.0 ? CELLS : 1.0;
    out->first = parts[(size_t)(3 * k) * tile->pitch] - out->size * (CELLS / 2);
    out->first = out->first > 0.0 ? out->first : 0.0;
    double last = out->alphabet - out->size * CELLS;
    last = last > 0.0 ? last : 0.0;
    out->first = out->first < last ? out->first : last;
}

/* Mass below an integer: a whole number below 2^53. */
static double mass_below(const Sample *sample, double x)
{
    const Model *model = sample->model;
    double mass = 0.0;
    if (x <= 0.0)
        return 0.0;
    if (x >= sample->alphabet)
        return sample->whole;
    for (int i = 0; i < model->mixtures; i++) {
        double z = held((x - sample->mean[i]) * sample->rate[i], -SIGMOID_HALF, SIGMOID_HALF), cell = below(z);
        int index = AT((int)cell + SIGMOID_HALF, 2 * SIGMOID_HALF + 1);
        mass += (below((z - cell) * 4096.0) * model->slope[index] + model->table[index]) * sample->weight[i];
    }
    return mass + x * sample->floor;
}

/* One choice: the first among 18 cells, with a window of 16 in the middle, then among the sixteenths of a cell. */
typedef struct {
    const Sample *sample;
    int cells;
    double start, end, low, whole; /* the outer edges, the mass below the first of them, and between them (1 at least) */
} Choice;

static Choice choice_of(const Sample *sample, int split, double start, double end)
{
    if (!split)
        return (Choice){sample, CELLS + 2, 0.0, 0.0, 0.0, sample->whole};
    double low = mass_below(sample, start), whole = mass_below(sample, end) - low;
    return (Choice){sample, CELLS, start, end, low, whole > 1.0 ? whole : 1.0};
}

static double edge(const Choice *choice, int j)
{
    const Sample *sample = choice->sample;
    if (choice->cells == CELLS)
        return choice->start + below((choice->end - choice->start) * j / CELLS);
    if (j == 0)
        return 0.0;
    double inner = sample->first + sample->size * (smaller(j, CELLS + 1) - 1);
    return j <= CELLS + 1 || inner > sample->alphabet ? inner : sample->alphabet;
}

/* Which cell an integer is in: the first beyond whose start it is not, of cells that may be empty. */
static int cell_of(const Choice *choice, double x)
{
    int cell = 0;
    for (int step = 16; step; step /= 2)
        if (cell + step < choice->cells && edge(choice, cell + step) <= x)
            cell += step;
    return cell;
}

/* Start of a cell in 2^24 parts. */
static uint32_t start_of(const Choice *choice, int j)
{
    if (j == 0 || j == choice->cells)
        return j ? 1u << PART_BITS : 0;
    double mass = mass_below(choice->sample, edge(choice, j)) - choice->low;
    int64_t count = (int64_t)nearest(mass / choice->whole * ((1 << COUNT_BITS) - choice->cells)) + j;
    return (uint32_t)((count * ((1 << PART_BITS) - choice->cells)) >> COUNT_BITS) + (uint32_t)j;
}

/* Writes a sample's cell, or reads it; -1 when the bytes are impossible. */
static int code_choice(const Choice *choice, double x, Encoder *encoder, Decoder *decoder)
{
    if (encoder) {
        int cell = cell_of(choice, x);
        uint32_t start = start_of(choice, cell);
        encode_parts(encoder, start, start_of(choice, cell + 1) - start);
        return cell;
    }
    uint64_t part = decoder_part(decoder);
    if (part >> PART_BITS)
        return -1;
    int cell = 0, next = choice->cells;
    uint32_t start = 0, end = 1u << PART_BITS;
    while (next - cell > 1) {
        int middle = (cell + next) / 2;
        uint32_t at = start_of(choice, middle);
        if (at <= part)
            cell = middle, start = at;
        else
            next = middle, end = at;
    }
    decode_parts(decoder, start, end - start);
    return cell;
}

/* Writes the values of a step's samples of one channel, or reads them: a choice for each that is still open, rows
   rising, then the next. */
static Outcome code_step(Tile *tile, Encoder *encoder, Decoder *decoder)
{
    int rows = tile->stop - tile->start, open = rows;
    for (int split = 0; open; split = 1) {
        open = 0;
        for (int row = 0; row < rows; row++) {
            Sample sample;
            if (split && tile->high[row] - tile->low[row] <= 1)
                continue;
            sample_at(tile, row, &sample);
            Choice choice = choice_of(&sample, split, tile->low[row], tile->high[row]);
            int cell = code_choice(&choice, tile->values[row], encoder, decoder);
            if (cell < 0)
                return IMPOSSIBLE;
            tile->low[row] = (int32_t)edge(&choice, cell);
            tile->high[row] = (int32_t)edge(&choice, cell + 1);
            open += tile->high[row] - tile->low[row] > 1;
        }
    }
    memcpy(tile->values, tile->low, (size_t)rows * sizeof *tile->values);
    return DONE;
}
