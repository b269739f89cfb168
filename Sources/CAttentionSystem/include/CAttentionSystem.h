// The few calls of the C library that Swift's own modules do not show (they need _GNU_SOURCE).
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/// Where the loaded symbol of this name lies: the path of its file, or NULL when no loaded file has it. The path lives
/// as long as the file stays loaded. `base`, if given, receives the file's load address.
const char *_Nullable attention_symbol_library(const char *_Nonnull symbol, const void *_Nullable *_Nullable base);

/// The address of the loaded symbol of this name, or NULL.
void *_Nullable attention_symbol_address(const char *_Nonnull symbol);

/// The number of processors that the process may run on, or -1 where the system does not tell.
int attention_affinity_count(void);

/// Runs body(context) on a new detached thread of this name (at most 15 characters count, for debuggers and
/// profilers). The thread blocks all signals but faults (SIGSEGV and its like). Answers 0, or the error number.
int attention_start_thread(const char *_Nonnull name, void (*_Nonnull body)(void *_Nonnull), void *_Nonnull context);

/// Tells the processor that this thread waits in a loop.
static inline void attention_spin_hint(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

#ifdef __cplusplus
}
#endif
