// The compiled sets, seen by the dispatcher only.
#pragma once
#include "CAttentionKernels.h"

#define READ_PATTERNS 8
#define HIDDEN __attribute__((visibility("hidden")))

extern HIDDEN const attention_kernels attention_kernels_portable;
#if defined(__x86_64__)
extern HIDDEN const attention_kernels attention_kernels_avx2;
extern HIDDEN const attention_kernels attention_kernels_avx512;
#endif
