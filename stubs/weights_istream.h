/* Weights as a C++ stream, for tools/mtmd/clip.cpp: what std::ifstream does there, over the layer. */
#ifndef LFBUILD_WEIGHTS_ISTREAM_H
#define LFBUILD_WEIGHTS_ISTREAM_H

#include "weights_io.h"

#include <istream>
#include <streambuf>
#include <string>

namespace lfbuild {

class weights_buffer : public std::streambuf {
  public:
    explicit weights_buffer(const std::string & name) : file(lfbuild_fopen(name.c_str(), "rb")) {}
    weights_buffer(const weights_buffer &) = delete;
    weights_buffer & operator=(const weights_buffer &) = delete;
    ~weights_buffer() override { close(); }

    bool is_open() const { return file != nullptr; }

    bool close() {
        setg(nullptr, nullptr, nullptr);
        bool closed = file && lfbuild_fclose(file) == 0;
        file = nullptr;
        return closed;
    }

  protected:
    int_type underflow() override {
        size_t got = file ? lfbuild_fread(ahead, 1, sizeof ahead, file) : 0;
        setg(ahead, ahead, ahead + got);
        return got ? traits_type::to_int_type(*gptr()) : traits_type::eof();
    }

    /* Tensors go straight to their place: nothing is read ahead that was not asked for. */
    std::streamsize xsgetn(char * target, std::streamsize count) override {
        std::streamsize ready = egptr() - gptr();
        if (count <= ready || !file) {
            return std::streambuf::xsgetn(target, count);
        }
        traits_type::copy(target, gptr(), static_cast<size_t>(ready));
        setg(nullptr, nullptr, nullptr);
        return ready + static_cast<std::streamsize>(
                           lfbuild_fread(target + ready, 1, static_cast<size_t>(count - ready), file));
    }

    pos_type seekoff(off_type offset, std::ios_base::seekdir from, std::ios_base::openmode) override {
        int whence = from == std::ios_base::beg ? SEEK_SET : from == std::ios_base::end ? SEEK_END : SEEK_CUR;
        if (whence == SEEK_CUR) {
            offset -= egptr() - gptr(); /* the file is ahead of the reader by what is buffered */
        }
        if (!file || lfbuild_fseeko(file, offset, whence) != 0) {
            return pos_type(off_type(-1));
        }
        setg(nullptr, nullptr, nullptr);
        return pos_type(lfbuild_ftello(file));
    }

    pos_type seekpos(pos_type position, std::ios_base::openmode mode) override {
        return seekoff(off_type(position), std::ios_base::beg, mode);
    }

  private:
    FILE * file;
    char ahead[4096];
};

class weights_istream : public std::istream {
  public:
    explicit weights_istream(const std::string & name) : std::istream(nullptr), buffer(name) {
        rdbuf(&buffer);
        if (!buffer.is_open()) {
            setstate(std::ios_base::failbit);
        }
    }

    bool is_open() const { return buffer.is_open(); }

    void close() {
        if (!buffer.close()) {
            setstate(std::ios_base::failbit);
        }
    }

  private:
    weights_buffer buffer;
};

} // namespace lfbuild

#endif
