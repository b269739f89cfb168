// The kernels on what every processor of the architecture has.
#include "sets.h"

#include <string.h>

// An explicit v_fma is fused where the processor can, a * b + c never: results do not hang on the optimiser.
#pragma STDC FP_CONTRACT OFF

#include "vector/portable.h"

#include "body/kernels.h"

const attention_kernels attention_kernels_portable = KERNEL_TABLE(ATTENTION_ISA_PORTABLE, "portable");
