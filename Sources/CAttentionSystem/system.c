#if defined(__linux__)
#define _GNU_SOURCE
#endif
#include "CAttentionSystem.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#if defined(__linux__)
#include <sched.h>
#endif

void *attention_symbol_address(const char *symbol) { return dlsym(RTLD_DEFAULT, symbol); }

const char *attention_symbol_library(const char *symbol, const void **base) {
  void *address = attention_symbol_address(symbol);
  Dl_info info;
  if (address == NULL || dladdr(address, &info) == 0) return NULL;
  if (base != NULL) *base = info.dli_fbase;
  return info.dli_fname;
}

int attention_affinity_count(void) {
#if defined(__linux__)
  // A fixed cpu_set_t holds 1024 processors; the kernel answers EINVAL until the set is large enough for its own.
  for (int processors = 1024; processors <= 1 << 20; processors *= 2) {
    cpu_set_t *set = CPU_ALLOC(processors);
    if (set == NULL) return -1;
    size_t size = CPU_ALLOC_SIZE(processors);
    int status = sched_getaffinity(0, size, set);
    int failure = errno;
    int count = status == 0 ? CPU_COUNT_S(size, set) : -1;
    CPU_FREE(set);
    if (status == 0 || failure != EINVAL) return count;
  }
#endif
  return -1;
}

struct start {
  char name[16];
  void (*body)(void *);
  void *context;
};

static void *run(void *argument) {
  struct start start = *(struct start *)argument;
  free(argument);
#if defined(__APPLE__)
  pthread_setname_np(start.name);
#else
  pthread_setname_np(pthread_self(), start.name);
#endif
  start.body(start.context);
  return NULL;
}

int attention_start_thread(const char *name, void (*body)(void *), void *context) {
  struct start *start = calloc(1, sizeof *start);
  if (start == NULL) return ENOMEM;
  strncpy(start->name, name, sizeof start->name - 1);
  start->body = body;
  start->context = context;
  // A thread inherits the mask: blocking before it exists leaves no moment in which it could take a signal. Faults
  // stay open, because a blocked one ends the process past every crash handler.
  sigset_t blocked, before;
  sigfillset(&blocked);
  const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
  for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) sigdelset(&blocked, faults[i]);
  pthread_sigmask(SIG_SETMASK, &blocked, &before);
  pthread_t thread;
  int status = pthread_create(&thread, NULL, run, start);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (status == 0) {
    pthread_detach(thread);
  } else {
    free(start);
  }
  return status;
}
