/* The launcher's entry on Linux and macOS. */
#include "launcher.h"

int main(int argc, char **argv) {
    return lfbuild_launcher(argc, argv);
}
