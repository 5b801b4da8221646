// Products of many small matrices on one core, for compiled models: PyTorch's library spends up to half of their time on packing.
//
// Two functions with the C interface that AOTInductor calls; matrices may have any strides, results are contiguous.
#include <cstdint>
#include <cstring>
#include <vector>

#include <torch/csrc/inductor/aoti_torch/c/shim.h>

namespace {

#if defined(__AVX512F__)
constexpr int lanes = 16, tallest = 8, widest = 3;  // of 32 registers a tile takes 24 for its sums
#elif defined(__AVX__)
constexpr int lanes = 8, tallest = 6, widest = 2;  // 12 of 16
#else
constexpr int lanes = 4, tallest = 6, widest = 2;
#endif

constexpr int strip = 4 * lanes;  // columns of a sparse product that are worked on together

typedef float Vector __attribute__((vector_size(4 * lanes)));
typedef float Unaligned __attribute__((vector_size(4 * lanes), aligned(4)));

inline Vector load(const float* x) { return *reinterpret_cast<const Unaligned*>(x); }
inline void store(float* x, Vector v) { *reinterpret_cast<Unaligned*>(x) = v; }

struct Matrix {
    const float* at;
    int64_t row, column;  // strides
};

// c[rows, vectors * lanes] = a[rows, depth] b[depth, vectors * lanes]; the columns of b and c are contiguous
template <int rows, int vectors>
void tile(int64_t depth, Matrix a, const float* b, int64_t b_row, float* c, int64_t c_row) {
    Vector sum[rows][vectors] = {};
    for (int64_t k = 0; k < depth; ++k) {
        Vector line[vectors];
        for (int v = 0; v < vectors; ++v) line[v] = load(b + k * b_row + v * lanes);
        for (int r = 0; r < rows; ++r) {
            const float x = a.at[r * a.row + k * a.column];
            for (int v = 0; v < vectors; ++v) sum[r][v] += x * line[v];
        }
    }
    for (int r = 0; r < rows; ++r)
        for (int v = 0; v < vectors; ++v) store(c + r * c_row + v * lanes, sum[r][v]);
}

template <int vectors, int rows = tallest>
void tile_of(int64_t height, int64_t depth, Matrix a, const float* b, int64_t b_row, float* c, int64_t c_row) {
    if (height == rows) return tile<rows, vectors>(depth, a, b, b_row, c, c_row);
    if constexpr (rows > 1) tile_of<vectors, rows - 1>(height, depth, a, b, b_row, c, c_row);
}

// c[height, vectors * lanes], tile by tile, from the top
template <int vectors>
void column_of_tiles(int64_t height, int64_t depth, Matrix a, const float* b, int64_t b_row, float* c, int64_t c_row) {
    for (int64_t top = 0; top < height; top += tallest) {
        const int64_t rows = height - top < tallest ? height - top : tallest;
        tile_of<vectors>(rows, depth, {a.at + top * a.row, a.row, a.column}, b, b_row, c + top * c_row, c_row);
    }
}

// rows x columns of x side by side, with zeros up to ``width`` columns
void pack(int64_t rows, int64_t columns, int64_t width, Matrix x, float* packed) {
    if (columns < width) std::memset(packed, 0, sizeof(float) * rows * width);
    if (x.column == 1)
        for (int64_t i = 0; i < rows; ++i) std::memcpy(packed + i * width, x.at + i * x.row, sizeof(float) * columns);
    else
        for (int64_t j = 0; j < columns; ++j)
            for (int64_t i = 0; i < rows; ++i) packed[i * width + j] = x.at[i * x.row + j * x.column];
}

// how many of the ``left`` vectors to the right make up the next tile: all full, but rather 2 + 2 than 3 + 1
inline int64_t vectors_of(int64_t left) { return left <= widest ? left : left == widest + 1 ? (left + 1) / 2 : widest; }

// c[height, width] = a[height, depth] b[depth, width]
void multiply(int64_t height, int64_t depth, int64_t width, Matrix a, Matrix b, float* c, std::vector<float>& spare) {
    for (int64_t left = 0, columns; left < width; left += columns) {
        const int64_t vectors = vectors_of((width - left + lanes - 1) / lanes);
        columns = width - left < vectors * lanes ? width - left : vectors * lanes;
        const bool whole = columns == vectors * lanes;
        const float* panel = b.at + left * b.column;
        int64_t panel_row = b.row;
        if (!whole || b.column != 1) {
            pack(depth, columns, vectors * lanes, {panel, b.row, b.column}, spare.data());
            panel = spare.data(), panel_row = vectors * lanes;
        }
        float* to = whole ? c + left : spare.data() + depth * vectors * lanes;
        const int64_t to_row = whole ? width : vectors * lanes;
        constexpr decltype(&column_of_tiles<1>) column[] = {column_of_tiles<1>, column_of_tiles<2>, column_of_tiles<widest>};
        column[vectors - 1](height, depth, a, panel, panel_row, to, to_row);
        if (!whole)
            for (int64_t i = 0; i < height; ++i) std::memcpy(c + i * width + left, to + i * to_row, sizeof(float) * columns);
    }
}

// c[height, width] = a b for a sparse a in compressed rows: the values of row i are those from start[i] to start[i + 1]
void multiply_sparse(int64_t height, int64_t depth, int64_t width, const int64_t* start, const int64_t* column, const float* value, Matrix b,
                     float* c, std::vector<float>& spare) {
    for (int64_t left = 0; left < width; left += strip) {
        const int64_t columns = width - left < strip ? width - left : strip;
        const bool whole = columns == strip;
        const float* panel = b.at + left * b.column;
        int64_t panel_row = b.row;
        if (!whole || b.column != 1) {
            pack(depth, columns, strip, {panel, b.row, b.column}, spare.data());
            panel = spare.data(), panel_row = strip;
        }
        for (int64_t i = 0; i < height; ++i) {
            Vector sum[4] = {};
            for (int64_t n = start[i]; n < start[i + 1]; ++n)
                for (int v = 0; v < 4; ++v) sum[v] += value[n] * load(panel + column[n] * panel_row + v * lanes);
            float last[strip];
            float* to = whole ? c + i * width + left : last;
            for (int v = 0; v < 4; ++v) store(to + v * lanes, sum[v]);
            if (!whole) std::memcpy(c + i * width + left, last, sizeof(float) * columns);
        }
    }
}

struct Tensor {
    int64_t *size, *stride, order;
    void* data;
    AOTITorchError error;

    explicit Tensor(AtenTensorHandle handle) {
        error = aoti_torch_get_dim(handle, &order);
        error |= aoti_torch_get_sizes(handle, &size) | aoti_torch_get_strides(handle, &stride) | aoti_torch_get_data_ptr(handle, &data);
    }
    Matrix matrix(int64_t number = 0) const {  // of a stack of matrices, or the only one
        return {static_cast<const float*>(data) + (order == 3 ? number * stride[0] : 0), stride[order - 2], stride[order - 1]};
    }
    int64_t rows() const { return size[order - 2]; }
    int64_t columns() const { return size[order - 1]; }
    int64_t count() const { return order == 3 ? size[0] : 1; }
};

float* made(int64_t order, int64_t count, int64_t rows, int64_t columns, AtenTensorHandle* handle) {
    const int64_t size[] = {count, rows, columns}, stride[] = {rows * columns, columns, 1}, skip = 3 - order;
    void* data = nullptr;
    if (aoti_torch_empty_strided(order, size + skip, stride + skip, aoti_torch_dtype_float32(), aoti_torch_device_type_cpu(), 0, handle)) return nullptr;
    return aoti_torch_get_data_ptr(*handle, &data) ? nullptr : static_cast<float*>(data);
}

}  // namespace

// matrices of a times those of b, [m, k] [k, n] or [count, m, k] [count, k, n]
extern "C" AOTITorchError aoti_torch_cpu_product(AtenTensorHandle left, AtenTensorHandle right, AtenTensorHandle* result) {
    const Tensor a(left), b(right);
    float* c = a.error | b.error ? nullptr : made(a.order, a.count(), a.rows(), b.columns(), result);
    if (c == nullptr) return AOTI_TORCH_FAILURE;
    static thread_local std::vector<float> spare;
    spare.resize((b.rows() + a.rows()) * widest * lanes);
    for (int64_t i = 0; i < a.count(); ++i)
        multiply(a.rows(), a.columns(), b.columns(), a.matrix(i), b.matrix(i), c + i * a.rows() * b.columns(), spare);
    return AOTI_TORCH_SUCCESS;
}

// a sparse matrix in compressed rows times a dense one
extern "C" AOTITorchError aoti_torch_cpu_sparse_product(AtenTensorHandle starts, AtenTensorHandle columns, AtenTensorHandle values,
                                                        AtenTensorHandle right, AtenTensorHandle* result) {
    const Tensor start(starts), column(columns), value(values), b(right);
    const int64_t rows = start.size[0] - 1;
    float* c = start.error | column.error | value.error | b.error ? nullptr : made(2, 1, rows, b.columns(), result);
    if (c == nullptr) return AOTI_TORCH_FAILURE;
    static thread_local std::vector<float> spare;
    spare.resize(b.rows() * strip);
    multiply_sparse(rows, b.rows(), b.columns(), static_cast<int64_t*>(start.data), static_cast<int64_t*>(column.data),
                    static_cast<float*>(value.data), b.matrix(), c, spare);
    return AOTI_TORCH_SUCCESS;
}
