// The kernels on AVX-512.
#include "sets.h"

#if defined(__x86_64__)
#include <string.h>

// An explicit v_fma is fused, a * b + c never: results do not hang on the optimiser.
#pragma STDC FP_CONTRACT OFF

#include "vector/avx512.h"

// The package can pass no compiler flags, so the file asks for the instructions itself.
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,fma"))), apply_to = function)
#include "body/kernels.h"
#pragma clang attribute pop

const attention_kernels attention_kernels_avx512 = KERNEL_TABLE(ATTENTION_ISA_AVX512, "avx512");
#endif
