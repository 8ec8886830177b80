//! DEFLATE out of zig's standard library, for C: see inflate.h.
//!
//! Compiled with zig's safety checks: the bytes that come in are not verified yet, so what the decoder takes for
//! impossible has to stop the program and never to run on.

const std = @import("std");

const flate = std.compress.flate;

/// A trap and nothing else: no words, and none of the code that would find them.
pub const panic = std.debug.no_panic;

/// Gives up to `capacity` bytes; 0 at the end, negative when they cannot be read.
const Give = *const fn (context: *anyopaque, bytes: [*]u8, capacity: usize) callconv(.c) isize;
/// Takes what was decoded; false ends it.
const Take = *const fn (context: *anyopaque, bytes: [*]const u8, size_bytes: usize) callconv(.c) bool;

const Input = struct {
    reader: std.Io.Reader,
    give: Give,
    context: *anyopaque,

    fn stream(reader: *std.Io.Reader, writer: *std.Io.Writer, limit: std.Io.Limit) std.Io.Reader.StreamError!usize {
        const input: *Input = @fieldParentPtr("reader", reader);
        const target = limit.slice(try writer.writableSliceGreedy(1));
        const got = input.give(input.context, target.ptr, target.len);
        if (got < 0) return error.ReadFailed;
        if (got == 0) return error.EndOfStream;
        writer.advance(@intCast(got));
        return @intCast(got);
    }
};

// Not on the stack: some of the systems give a program little of it. A launcher has one thread.
var input_buffer: [1 << 16]u8 = undefined;
var window: [2 * flate.max_window_len]u8 = undefined;
var decoder: flate.Decompress = undefined;

/// True: a whole stream was decoded, and all of it was taken.
export fn lfbuild_inflate(context: *anyopaque, give: Give, take: Take) bool {
    var input: Input = .{
        .reader = .{ .vtable = &.{ .stream = Input.stream }, .buffer = &input_buffer, .seek = 0, .end = 0 },
        .give = give,
        .context = context,
    };
    decoder = .init(&input.reader, .raw, &window);
    const reader = &decoder.reader;
    while (true) {
        const bytes = reader.peekGreedy(1) catch |problem| return problem == error.EndOfStream and decoder.err == null;
        if (!take(context, bytes.ptr, bytes.len)) return false;
        reader.toss(bytes.len);
    }
}
