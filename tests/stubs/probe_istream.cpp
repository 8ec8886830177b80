/* Probe for the C++ stream: reads as tools/mtmd/clip.cpp does. probe_istream NAME OFFSET COUNT */
#include "../../stubs/weights_istream.h"

#include <cstdlib>
#include <iostream>
#include <vector>

/* As in clip-impl.h: a stream by value. */
static lfbuild::weights_istream open_stream(const std::string & name) {
    return lfbuild::weights_istream(name);
}

int main(int, char ** argv) {
    auto stream = open_stream(argv[1]);
    if (!stream) {
        std::cout << "not open\n";
        return 3;
    }
    std::cout << static_cast<char>(stream.get()) << stream.tellg() << '\n';
    stream.seekg(std::atoll(argv[2]), std::ios::beg);
    std::vector<char> bytes(static_cast<size_t>(std::atoll(argv[3])));
    stream.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    std::cout << stream.gcount() << ' ' << (stream ? "good" : stream.eof() ? "end" : "fail") << '\n';
    std::cout.write(bytes.data(), stream.gcount()) << '\n';
    stream.clear();
    stream.seekg(0, std::ios::end);
    std::cout << stream.tellg() << '\n';
    stream.close();
    return stream ? 0 : 4;
}
