/* The module as Python sees it: bytes in, bytes out, without the interpreter's lock in between. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdlib.h>

#include "tile.h"
#include "versions.h"

static const char NAME[] = "arpc_codec.native.model";
enum { SIZES = 7, MOST_SIDE = 1 << 29 };

static void destroy(PyObject *capsule)
{
    model_free(PyCapsule_GetPointer(capsule, NAME));
}

/* Sizes as a tuple of ints, arrays as a tuple of bytes. */
static PyObject *make_model(PyObject *self, PyObject *args)
{
    PyObject *list, *result = NULL;
    int sizes[SIZES];
    (void)self;
    if (!PyArg_ParseTuple(args, "(iiiiiii)O!", sizes, sizes + 1, sizes + 2, sizes + 3, sizes + 4, sizes + 5, sizes + 6,
                          &PyTuple_Type, &list))
        return NULL;
    Py_ssize_t count = PyTuple_Size(list);
    Bytes *arrays = calloc((size_t)count + 1, sizeof *arrays);
    if (!arrays)
        return PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < count; i++) {
        char *data;
        Py_ssize_t size;
        if (PyBytes_AsStringAndSize(PyTuple_GetItem(list, i), &data, &size))
            goto end;
        arrays[i] = (Bytes){data, (size_t)size};
    }
    const char *why = "";
    Model *model = model_new(sizes, arrays, (size_t)count, &why);
    if (!model)
        PyErr_SetString(PyExc_ValueError, why);
    else if (!(result = PyCapsule_New(model, NAME, destroy)))
        model_free(model);
end:
    free(arrays);
    return result;
}

typedef struct {
    const char *name;
    Walk walk;
} Version;

/* The instruction sets that this processor has, best first. */
static int versions(Version *found)
{
    int count = 0;
#ifdef VERSIONS
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni"))
        found[count++] = (Version){"avx512", walk_avx512};
    if (__builtin_cpu_supports("avx2"))
        found[count++] = (Version){"avx2", walk_avx2};
#endif
    found[count++] = (Version){"base", walk_base};
    return count;
}

static PyObject *names(PyObject *self, PyObject *args)
{
    Version found[3];
    int count = versions(found);
    PyObject *result = PyTuple_New(count);
    (void)self, (void)args;
    for (int i = 0; result && i < count; i++)
        PyTuple_SetItem(result, i, PyUnicode_FromString(found[i].name));
    return result;
}

/* A walk in progress: the interpreter's lock is taken now and then to see whether it should end. */
typedef struct {
    PyThreadState *thread;
    PyObject *stop;
    int failed;
} Running;

static int poll(void *polled)
{
    Running *running = polled;
    PyEval_RestoreThread(running->thread);
    running->failed = PyErr_CheckSignals();
    int end = running->failed || (PyByteArray_Size(running->stop) && PyByteArray_AsString(running->stop)[0]);
    running->thread = PyEval_SaveThread();
    return end;
}

typedef struct {
    const Model *model;
    const char *data, *version;
    Py_ssize_t size;
    int height, width, bits;
    PyObject *stop;
    size_t samples;
    Walk walk;
} Job;

/* (model, data, height, width, bits, version, stop): -1 with an exception when they are none. */
static int parse(PyObject *args, Job *job)
{
    PyObject *capsule;
    Version found[3];
    int count = versions(found);
    if (!PyArg_ParseTuple(args, "Oy#iiisO!", &capsule, &job->data, &job->size, &job->height, &job->width, &job->bits,
                          &job->version, &PyByteArray_Type, &job->stop) ||
        !(job->model = PyCapsule_GetPointer(capsule, NAME)))
        return -1;
    job->walk = NULL;
    for (int i = 0; i < count; i++)
        if (!strcmp(found[i].name, job->version))
            job->walk = found[i].walk;
    if (!job->walk) {
        PyErr_Format(PyExc_ValueError, "this processor has no %s", job->version);
        return -1;
    }
    if (job->height < 1 || job->width < 1 || job->height > MOST_SIDE || job->width > MOST_SIDE || job->bits < 1 ||
        job->bits > 16) {
        PyErr_SetString(PyExc_ValueError, "a size of the tile is out of range");
        return -1;
    }
    if ((size_t)job->height > (size_t)PY_SSIZE_T_MAX / 16 / (size_t)job->width) {
        PyErr_NoMemory();
        return -1;
    }
    job->samples = (size_t)job->height * (size_t)job->width * (size_t)job->model->channels;
    return 0;
}

static Outcome walk(Job *job, int32_t *samples, Encoder *encoder, Decoder *decoder, const Observed *observed)
{
    Running running = {PyEval_SaveThread(), job->stop, 0};
    Outcome outcome =
        job->walk(job->model, job->height, job->width, job->bits, samples, encoder, decoder, observed, poll, &running);
    PyEval_RestoreThread(running.thread);
    if (outcome == NO_MEMORY)
        PyErr_NoMemory();
    else if (outcome == STOPPED && !running.failed)
        PyErr_SetString(PyExc_InterruptedError, "stopped");
    return outcome;
}

/* A copy of the samples int32 [height][width][channels] of a job, or NULL with an exception when they are none. */
static int32_t *samples_of(const Job *job)
{
    if ((size_t)job->size != job->samples * 4) {
        PyErr_SetString(PyExc_ValueError, "the samples do not fill the tile");
        return NULL;
    }
    int32_t all = 0, *samples = malloc(job->samples * 4);
    if (!samples) {
        PyErr_NoMemory();
        return NULL;
    }
    memcpy(samples, job->data, job->samples * 4);
    for (size_t i = 0; i < job->samples; i++)
        all |= samples[i];
    if (all >> job->bits) {
        PyErr_SetString(PyExc_ValueError, "a sample is out of range");
        free(samples);
        return NULL;
    }
    return samples;
}

/* data: samples below 2^bits; the stream. */
static PyObject *encode(PyObject *self, PyObject *args)
{
    Job job;
    Encoder encoder;
    PyObject *result = NULL;
    (void)self;
    int32_t *samples = parse(args, &job) ? NULL : samples_of(&job);
    if (!samples)
        return NULL;
    encoder_start(&encoder);
    if (walk(&job, samples, &encoder, NULL, NULL) == DONE) {
        size_t size = encoder_seal(&encoder);
        result = encoder.data ? PyBytes_FromStringAndSize((char *)encoder.data, (Py_ssize_t)size) : PyErr_NoMemory();
    }
    free(encoder.data);
    free(samples);
    return result;
}

/* data: as in `encode`; float32 errors of the prediction and statistics of every pixel. */
static PyObject *observe(PyObject *self, PyObject *args)
{
    Job job;
    PyObject *result = NULL;
    (void)self;
    int32_t *samples = parse(args, &job) ? NULL : samples_of(&job);
    if (!samples)
        return NULL;
    size_t statistics = job.samples / (size_t)job.model->channels * (size_t)job.model->statistics;
    Observed observed = {calloc(job.samples, sizeof(float)), calloc(statistics, sizeof(float))};
    if (!observed.errors || !observed.statistics)
        PyErr_NoMemory();
    else if (walk(&job, samples, NULL, NULL, &observed) == DONE)
        result = Py_BuildValue("y#y#", (char *)observed.errors, (Py_ssize_t)(job.samples * sizeof(float)),
                               (char *)observed.statistics, (Py_ssize_t)(statistics * sizeof(float)));
    free(observed.errors);
    free(observed.statistics);
    free(samples);
    return result;
}

/* data: a stream; int32 samples as in `encode`, or None when the stream is impossible. */
static PyObject *decode(PyObject *self, PyObject *args)
{
    Job job;
    Decoder decoder;
    (void)self;
    if (parse(args, &job))
        return NULL;
    int32_t *samples = calloc(job.samples, 4);
    if (!samples)
        return PyErr_NoMemory();
    decoder_start(&decoder, (const uint8_t *)job.data, (size_t)job.size);
    Outcome outcome = walk(&job, samples, NULL, &decoder, NULL);
    PyObject *result = NULL;
    if (outcome == DONE)
        result = PyBytes_FromStringAndSize((char *)samples, (Py_ssize_t)(job.samples * 4));
    else if (outcome == IMPOSSIBLE) {
        result = Py_None;
        Py_INCREF(result);
    }
    free(samples);
    return result;
}

static PyMethodDef methods[] = {
    {"model", make_model, METH_VARARGS, "The integers of a model: (sizes, arrays)."},
    {"versions", names, METH_NOARGS, "Names of the instruction sets that this processor has, best first."},
    {"encode", encode, METH_VARARGS, "Stream of a tile: (model, samples, height, width, bits, version, stop)."},
    {"observe", observe, METH_VARARGS, "What the network sees of a tile: arguments as those of encode."},
    {"decode", decode, METH_VARARGS, "Samples of a stream: (model, stream, height, width, bits, version, stop)."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_wavefront", "The wavefront of lossless coding, compiled.", 0, methods, NULL, NULL, NULL,
    NULL,
};

PyMODINIT_FUNC PyInit__wavefront(void)
{
    return PyModule_Create(&definition);
}
