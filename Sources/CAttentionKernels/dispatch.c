// The choice of a set at run time.
#include "sets.h"

const attention_kernels *attention_kernels_for(attention_instruction_set isa) {
#if defined(__x86_64__)
  // The builtin reads a table that a constructor of the runtime fills: ours may run before it.
  __builtin_cpu_init();
#endif
  switch (isa) {
  case ATTENTION_ISA_PORTABLE: return &attention_kernels_portable;
#if defined(__x86_64__)
  // The builtin says yes only where the operating system saves the wide registers, too: libgcc (since 7.4) and
  // compiler-rt both read XCR0.
  case ATTENTION_ISA_AVX2:
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &attention_kernels_avx2 : 0;
  case ATTENTION_ISA_AVX512:
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                   __builtin_cpu_supports("fma")
               ? &attention_kernels_avx512
               : 0;
#endif
  default: return 0;
  }
}

const attention_kernels *attention_kernels_widest(void) {
  const attention_kernels *kernels = attention_kernels_for(ATTENTION_ISA_AVX512);
  if (!kernels) kernels = attention_kernels_for(ATTENTION_ISA_AVX2);
  return kernels ? kernels : &attention_kernels_portable;
}

const char *attention_read_pattern_name(int pattern) {
  static const char *const names[READ_PATTERNS] = {
      "1 stream",           "2 streams",           "4 streams",           "8 streams",
      "1 stream, prefetch", "2 streams, prefetch", "4 streams, prefetch", "8 streams, prefetch",
  };
  return pattern >= 0 && pattern < READ_PATTERNS ? names[pattern] : "unknown";
}
