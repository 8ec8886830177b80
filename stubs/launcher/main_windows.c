/* The launcher's entry on Windows: what main is given there is not UTF-8. */
#include "launcher.h"

#include "../complaint.h"
#include "../platform.h"

int main(int argc, char **argv) {
    if (!lfbuild_platform_arguments(&argc, &argv)) {
        lfbuild_complain("lfbuild", "there is no memory for the arguments; end other programs and try again");
        return 1;
    }
    return lfbuild_launcher(argc, argv);
}
