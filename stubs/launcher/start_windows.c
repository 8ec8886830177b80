/* Starting, as Windows has it: no program becomes another, so the launcher starts the engine, waits, and ends with its
 * exit code. Streams, console and command line are the engine's as they were the launcher's. See system.h. */
#include "windows_files.h"

#include <stdlib.h>
#include <wchar.h>

/* Ctrl-C goes to every program of the console: the engine decides what it means, and the launcher waits for it. When
 * the console closes, Windows ends a program as soon as this returns, and the engine with it: so it does not. */
static BOOL WINAPI leave_it_to_the_engine(DWORD event) {
    if (event != CTRL_C_EVENT && event != CTRL_BREAK_EVENT) {
        Sleep(INFINITE);
    }
    return TRUE;
}

static const wchar_t *skip_word(const wchar_t *at) {
    bool quoted = false;
    for (; *at && (quoted || (*at != L' ' && *at != L'\t')); at++) {
        quoted ^= *at == L'"';
    }
    return at;
}

static const wchar_t *skip_spaces(const wchar_t *at) {
    return at + wcsspn(at, L" \t");
}

/* The user's own text, quotes and all; every program takes its words apart by itself. To be freed. */
static wchar_t *make_command_line(unsigned left_out) {
    const wchar_t *whole = GetCommandLineW(), *first_end = skip_word(whole), *rest = skip_spaces(first_end);
    for (; left_out > 0; left_out--) {
        rest = skip_spaces(skip_word(rest));
    }
    size_t first_length = (size_t)(first_end - whole), rest_length = wcslen(rest);
    wchar_t *line = malloc((first_length + 1 + rest_length + 1) * sizeof *line);
    if (line) {
        wmemcpy(line, whole, first_length);
        line[first_length] = L' ';
        wmemcpy(line + first_length + 1, rest, rest_length + 1);
    }
    return line;
}

static HANDLE pass_on(DWORD which) {
    HANDLE handle = GetStdHandle(which);
    SetHandleInformation(handle, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT);
    return handle;
}

/* When the launcher is killed, so is the engine; what the engine starts may outlive it, as without a launcher. */
static HANDLE make_job(void) {
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {
        .BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE | JOB_OBJECT_LIMIT_SILENT_BREAKAWAY_OK,
    };
    HANDLE job = CreateJobObjectW(NULL, NULL);
    if (job) {
        SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof limits);
    }
    return job;
}

static bool create(const struct lfbuild_program *program, PROCESS_INFORMATION *process) {
    wchar_t path[LFBUILD_PATH_CAPACITY_BYTES];
    wchar_t *line = make_command_line(program->left_out);
    STARTUPINFOW start;
    GetStartupInfoW(&start);
    start.dwFlags |= STARTF_USESTDHANDLES;
    start.hStdInput = pass_on(STD_INPUT_HANDLE);
    start.hStdOutput = pass_on(STD_OUTPUT_HANDLE);
    start.hStdError = pass_on(STD_ERROR_HANDLE);
    bool created = line && MultiByteToWideChar(CP_UTF8, 0, program->path, -1, path, LFBUILD_PATH_CAPACITY_BYTES) &&
                   CreateProcessW(path, line, NULL, NULL, TRUE, CREATE_SUSPENDED, NULL, NULL, &start, process);
    free(line);
    return created;
}

enum lfbuild_start lfbuild_start(const struct lfbuild_program *program, char **argv) {
    (void)argv;
    PROCESS_INFORMATION process;
    SetConsoleCtrlHandler(leave_it_to_the_engine, TRUE);
    if (!create(program, &process)) {
        DWORD error = GetLastError();
        lfbuild_windows_keep(error);
        SetConsoleCtrlHandler(leave_it_to_the_engine, FALSE);
        return error == ERROR_ACCESS_DENIED || error == ERROR_ACCESS_DISABLED_BY_POLICY ? LFBUILD_START_NOT_HERE
                                                                                        : LFBUILD_START_FAILED;
    }
    HANDLE job = make_job();
    if (job) { /* if Windows refuses, the engine only outlives a launcher that is killed */
        AssignProcessToJobObject(job, process.hProcess);
    }
    ResumeThread(process.hThread);
    DWORD code = 1;
    WaitForSingleObject(process.hProcess, INFINITE);
    GetExitCodeProcess(process.hProcess, &code);
    ExitProcess(code);
}
