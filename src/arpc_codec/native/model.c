/* Building a model from the arrays that Python hands over. */
#include "tile.h"

#include <stdlib.h>

/* Arrays are taken one by one; the first that does not fit spoils all that follow. */
typedef struct {
    const Bytes *next, *end;
    const char *why;
} Arrays;

static const void *take(Arrays *arrays, size_t size)
{
    if (arrays->why)
        return NULL;
    if (arrays->next == arrays->end || arrays->next->size != size) {
        arrays->why = "an array of the model is missing or of another size";
        return NULL;
    }
    return (arrays->next++)->data;
}

static void *room(Arrays *arrays, size_t count, size_t size)
{
    void *found = arrays->why ? NULL : calloc(count ? count : 1, size);
    if (!found && !arrays->why)
        arrays->why = "out of memory";
    return found;
}

static double power(int exponent)
{
    double result = 1.0;
    for (; exponent > 0; exponent--)
        result *= 2.0;
    for (; exponent < 0; exponent++)
        result *= 0.5;
    return result;
}

/* Weights in high and low parts, in the order in which the kernels read them. */
static void pack(Layer *layer, const int16_t *matrix)
{
    for (int out = 0; out < layer->outputs; out++) {
        int32_t *group = layer->weights + (size_t)(out / GROUP) * layer->pairs * GROUP * 2 + out % GROUP * 2;
        for (int in = 0; in < layer->inputs; in++) {
            int weight = matrix[(size_t)out * layer->inputs + in];
            int low = ((weight + 128) & 255) - 128, high = (weight - low) / 256;
            int32_t *pair = group + (size_t)(in / 2) * GROUP * 2;
            pair[0] = (int32_t)((uint32_t)pair[0] | (uint32_t)(high & 0xffff) << in % 2 * 16);
            pair[1] = (int32_t)((uint32_t)pair[1] | (uint32_t)(low & 0xffff) << in % 2 * 16);
        }
    }
}

/* weight int16 [outputs, inputs], exponent int8, bias int32 of units 2^-20. bits: grid of what the layer gives. */
static void make_layer(Layer *layer, Arrays *arrays, int inputs, int outputs, int bits)
{
    const int16_t *matrix = take(arrays, (size_t)inputs * outputs * 2);
    const int8_t *exponent = take(arrays, (size_t)outputs);
    const int32_t *bias = take(arrays, (size_t)outputs * 4);
    int groups = (outputs + GROUP - 1) / GROUP;
    layer->inputs = inputs, layer->outputs = outputs, layer->pairs = (inputs + 1) / 2;
    layer->weights = room(arrays, (size_t)groups * layer->pairs * GROUP * 2, sizeof *layer->weights);
    layer->scale = room(arrays, (size_t)outputs, sizeof *layer->scale);
    layer->bias = room(arrays, (size_t)outputs, sizeof *layer->bias);
    if (arrays->why)
        return;
    pack(layer, matrix);
    for (int out = 0; out < outputs; out++) {
        layer->scale[out] = power(bits - 12 - exponent[out]); /* inputs are multiples of 2^-12 */
        layer->bias[out] = bias[out] * power(bits - 20);
    }
}

/* Whether an offset is of a pixel coded before, no further away than rings and caches reach. */
static int reached(Offset offset, int above, int steps)
{
    int ago = -(offset.column + 2 * offset.row);
    return offset.row <= 0 && offset.row >= -above && ago > 0 && ago < steps;
}

static void make_offsets(Offsets *offsets, Arrays *arrays, int above, int steps, int here)
{
    size_t size = arrays->next < arrays->end ? arrays->next->size : 0;
    const int8_t *pairs = take(arrays, size);
    if (!pairs || size % 2 || size / 2 > MOST_OFFSETS) {
        arrays->why = arrays->why ? arrays->why : "too many offsets";
        return;
    }
    offsets->count = (int)(size / 2);
    for (int i = 0; i < offsets->count; i++)
        offsets->at[i] = (Offset){pairs[2 * i], pairs[2 * i + 1]};
    for (int i = here; i < offsets->count; i++)
        if (!reached(offsets->at[i], above, steps))
            arrays->why = "an offset is out of reach";
    if (offsets->count <= here || (here && (offsets->at[0].row || offsets->at[0].column)))
        arrays->why = "an offset is missing";
}

/* channel, then (channel, row, column) of every input, empty ones with row 1; and what the weights start from. */
static void make_context(Context *context, Arrays *arrays, int inputs, int channels)
{
    const int8_t *said = take(arrays, 1 + 3 * (size_t)inputs);
    const double *start = take(arrays, (size_t)inputs * 8);
    if (!said || !start)
        return;
    context->channel = said[0];
    for (int i = 0; i < inputs; i++) {
        context->from[i] = said[1 + 3 * i];
        context->at[i] = (Offset){said[2 + 3 * i], said[3 + 3 * i]};
        context->start[i] = start[i];
        if (context->from[i] < 0 || context->from[i] >= channels || context->channel < 0 || context->channel >= channels)
            arrays->why = "a prediction sees a channel that is not there";
        if (!later(context->at[i]) && !reached(context->at[i], ABOVE, RING))
            arrays->why = "an offset is out of reach";
    }
}

static void make_tables(Model *model, Arrays *arrays)
{
    size_t silu = arrays->next < arrays->end ? arrays->next->size / 4 : 0;
    const int32_t *own = take(arrays, silu * 4);
    model->silu = room(arrays, silu, sizeof *model->silu);
    if (own && model->silu)
        memcpy(model->silu, own, silu * 4);
    const int32_t *exp = take(arrays, EXP_SIZE * 4);
    size_t rate = arrays->next < arrays->end ? arrays->next->size / 4 : 0;
    const int32_t *rates = take(arrays, rate * 4);
    const int32_t *sigmoid = take(arrays, (2 * SIGMOID_HALF + 2) * 4);
    model->rate = room(arrays, rate, sizeof *model->rate);
    model->slope = room(arrays, 2 * SIGMOID_HALF + 1, sizeof *model->slope);
    model->table = room(arrays, 2 * SIGMOID_HALF + 1, sizeof *model->table);
    if (arrays->why)
        return;
    if (silu % 2 == 0 || rate % 2 == 0 || silu >> 20 || rate >> 20)
        arrays->why = "a table of the model has no middle";
    model->silu_half = (int)(silu / 2), model->rate_half = (int)(rate / 2);
    for (int i = 0; i < EXP_SIZE; i++)
        model->exp[i] = nearest(exp[i] / 16.0);
    for (size_t i = 0; i < rate; i++)
        model->rate[i] = rates[i] / 65536.0;
    for (int i = 0; i < 2 * SIGMOID_HALF + 1; i++) {
        model->table[i] = sigmoid[i] * 4096.0;
        model->slope[i] = (double)sigmoid[i + 1] - sigmoid[i];
        /* The search for a cell needs a mass that rises. */
        if (model->slope[i] < 0.0)
            arrays->why = "the table of the sigmoid falls";
    }
}

Model *model_new(const int *sizes, const Bytes *list, size_t count, const char **why)
{
    Arrays arrays = {list, list + count, NULL};
    Model *model = calloc(1, sizeof *model);
    if (!model) {
        *why = "out of memory";
        return NULL;
    }
    model->channels = sizes[0], model->width = sizes[1], model->depth = sizes[2];
    model->expand = sizes[3], model->head = sizes[4], model->mixtures = sizes[5], model->inputs = sizes[6];
    if ((model->channels != 1 && model->channels != 3) || model->width < 1 || model->width > MOST_WIDTH ||
        model->depth < 0 || model->depth > 64 || model->expand < 1 || model->expand > 16 || model->head < 1 ||
        model->head > 1024 || model->mixtures < 1 || model->mixtures > MOST_MIXTURES || model->inputs < 4 ||
        model->inputs > MOST_INPUTS)
        arrays.why = "a size of the model is out of range";
    model->blocks = room(&arrays, (size_t)larger(model->depth, 1), sizeof *model->blocks);
    if (!model->blocks) {
        *why = arrays.why;
        model->depth = 0;
        model_free(model);
        return NULL;
    }
    int width = model->width, channels = model->channels;
    make_offsets(&model->errors, &arrays, ABOVE, RING, 0);
    make_offsets(&model->nearby, &arrays, ABOVE, RING, 0);
    make_offsets(&model->taps, &arrays, CACHE_ABOVE, REACH, 1);
    for (int i = 0; i < channels; i++)
        make_context(&model->contexts[i], &arrays, model->inputs, channels);
    model->statistics = 4 * channels + channels * (channels - 1) / 2 + 1;
    model->features = model->statistics + channels * (model->errors.count + model->nearby.count - 1 + 2);
    make_layer(&model->embed, &arrays, model->features, width, 12);
    for (int i = 0; i < model->depth; i++) {
        Block *block = &model->blocks[i];
        make_layer(&block->both, &arrays, width, 2 * width, 12);
        make_layer(&block->proj, &arrays, width, width, 12);
        make_layer(&block->up, &arrays, width, model->expand * width, 9);
        make_layer(&block->down, &arrays, model->expand * width, width, 12);
        size_t taps = (size_t)model->taps.count * width;
        const int32_t *own = take(&arrays, taps * 4);
        block->taps = room(&arrays, taps, sizeof *block->taps);
        /* What they multiply is in units of 2^-10, what comes out in units of 2^-9. */
        for (size_t j = 0; own && block->taps && j < taps; j++)
            block->taps[j] = own[j] * power(9 - 20 - 10);
    }
    for (int i = 0; i < channels; i++)
        make_layer(&model->inner[i], &arrays, width + 3 + 2 * i, model->head, 9);
    for (int i = 0; i < channels; i++)
        make_layer(&model->outer[i], &arrays, model->head, 3 * model->mixtures, 12);
    make_tables(model, &arrays);
    if (!arrays.why && arrays.next != arrays.end)
        arrays.why = "the model has too many arrays";
    if (arrays.why) {
        *why = arrays.why;
        model_free(model);
        return NULL;
    }
    return model;
}

static void free_layer(Layer *layer)
{
    free(layer->weights);
    free(layer->scale);
    free(layer->bias);
}

void model_free(Model *model)
{
    free_layer(&model->embed);
    for (int i = 0; i < MOST_CHANNELS; i++) {
        free_layer(&model->inner[i]);
        free_layer(&model->outer[i]);
    }
    for (int i = 0; i < model->depth; i++) {
        Block *block = &model->blocks[i];
        free_layer(&block->both);
        free_layer(&block->proj);
        free_layer(&block->up);
        free_layer(&block->down);
        free(block->taps);
    }
    free(model->blocks);
    free(model->silu);
    free(model->rate);
    free(model->slope);
    free(model->table);
    free(model);
}
