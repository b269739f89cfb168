// Sums, differences, products and quotients of rows, of which either may be one number for all.

#define BINARY_KERNEL(name, OP)                                                                                        \
  static void name(const float *x, bool x_is_one, const float *y, bool y_is_one, float *z, size_t n) {                 \
    if (x_is_one) {                                                                                                    \
      vf one = v_set(*x);                                                                                              \
      FOR_EACH_VECTOR(n, OP##_ONE_X);                                                                                  \
    } else if (y_is_one) {                                                                                             \
      vf one = v_set(*y);                                                                                              \
      FOR_EACH_VECTOR(n, OP##_ONE_Y);                                                                                  \
    } else {                                                                                                           \
      FOR_EACH_VECTOR(n, OP##_EACH);                                                                                   \
    }                                                                                                                  \
  }

#define ADD_ONE_X(i, count) v_put(z + (i), one + v_get(y + (i), (count)), (count))
#define ADD_ONE_Y(i, count) v_put(z + (i), v_get(x + (i), (count)) + one, (count))
#define ADD_EACH(i, count) v_put(z + (i), v_get(x + (i), (count)) + v_get(y + (i), (count)), (count))
#define SUBTRACT_ONE_X(i, count) v_put(z + (i), one - v_get(y + (i), (count)), (count))
#define SUBTRACT_ONE_Y(i, count) v_put(z + (i), v_get(x + (i), (count)) - one, (count))
#define SUBTRACT_EACH(i, count) v_put(z + (i), v_get(x + (i), (count)) - v_get(y + (i), (count)), (count))
#define MULTIPLY_ONE_X(i, count) v_put(z + (i), one * v_get(y + (i), (count)), (count))
#define MULTIPLY_ONE_Y(i, count) v_put(z + (i), v_get(x + (i), (count)) * one, (count))
#define MULTIPLY_EACH(i, count) v_put(z + (i), v_get(x + (i), (count)) * v_get(y + (i), (count)), (count))
#define DIVIDE_ONE_X(i, count) v_put(z + (i), one / v_get(y + (i), (count)), (count))
#define DIVIDE_ONE_Y(i, count) v_put(z + (i), v_get(x + (i), (count)) / one, (count))
#define DIVIDE_EACH(i, count) v_put(z + (i), v_get(x + (i), (count)) / v_get(y + (i), (count)), (count))

BINARY_KERNEL(add_, ADD)
BINARY_KERNEL(subtract_, SUBTRACT)
BINARY_KERNEL(multiply_, MULTIPLY)
BINARY_KERNEL(divide_, DIVIDE)
