// OpenBLAS's own <cblas.h>: products, and the openblas_* calls that report and set its state.
#pragma once
#include <cblas.h>
