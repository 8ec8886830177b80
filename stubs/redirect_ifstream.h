/* Forced into tools/mtmd/clip.cpp, behind clip-impl.h, which defines the function that is replaced here. */
#ifndef LFBUILD_REDIRECT_IFSTREAM_H
#define LFBUILD_REDIRECT_IFSTREAM_H

#include "weights_istream.h"

#define open_ifstream_binary(name) lfbuild::weights_istream(name)

#endif
