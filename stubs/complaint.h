/* Complaints: one sentence for the user, `FILE: cause; what to do`. */
#ifndef LFBUILD_COMPLAINT_H
#define LFBUILD_COMPLAINT_H

#ifdef __cplusplus
extern "C" {
#endif

/* llama.cpp opens a model several times and goes on after a failure, so an equal sentence is told only once in a row. */
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
void lfbuild_complain(const char *file, const char *format, ...);

#ifdef __cplusplus
}
#endif

#endif
