/* Launcher: the program at the head of a file. Finds the engine for this machine in the file, places it in a folder of
 * the user's own, and starts it. Needs no interpreter and no library, and never touches the network. */
#ifndef LFBUILD_LAUNCHER_H
#define LFBUILD_LAUNCHER_H

/* Arguments are UTF-8 on Windows. Returns the exit code, if it returns at all. */
int lfbuild_launcher(int argc, char **argv);

#endif
