// LAPACKE: QR, SVD and symmetric eigenvalues. It pulls in whatever libblas.so.3 and liblapack.so.3 are.
#pragma once
#include <lapacke.h>
