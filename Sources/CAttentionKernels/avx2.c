// The kernels on AVX2 and FMA.
#include "sets.h"

#if defined(__x86_64__)
#include <string.h>

// An explicit v_fma is fused, a * b + c never: results do not hang on the optimiser.
#pragma STDC FP_CONTRACT OFF

#include "vector/avx2.h"

// The package can pass no compiler flags, so the file asks for the instructions itself.
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#include "body/kernels.h"
#pragma clang attribute pop

const attention_kernels attention_kernels_avx2 = KERNEL_TABLE(ATTENTION_ISA_AVX2, "avx2");
#endif
