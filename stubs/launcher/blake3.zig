//! BLAKE3 out of zig's standard library, for C: see digest.h.
//!
//! Compiled once for the baseline of each architecture and, on x86-64, once more for CPUs with AVX2, under names that end
//! in `_avx2`. An object may be used only where the CPU has what it was compiled for: digest.c asks.

const std = @import("std");
const builtin = @import("builtin");

const Blake3 = std.crypto.hash.Blake3;

const suffix = if (builtin.cpu.arch == .x86_64 and builtin.cpu.has(.x86, .avx2)) "_avx2" else "";

/// What digest.h sets aside for a digest under way.
const state_bytes = 2048;
const state_align = 16;

comptime {
    std.debug.assert(@sizeOf(Blake3) <= state_bytes and @alignOf(Blake3) <= state_align);
    @export(&start, .{ .name = "lfbuild_blake3_start" ++ suffix });
    @export(&add, .{ .name = "lfbuild_blake3_add" ++ suffix });
    @export(&finish, .{ .name = "lfbuild_blake3_finish" ++ suffix });
}

fn start(state: *Blake3) callconv(.c) void {
    state.* = Blake3.init(.{});
}

fn add(state: *Blake3, bytes: [*]const u8, size_bytes: usize) callconv(.c) void {
    state.update(bytes[0..size_bytes]);
}

fn finish(state: *const Blake3, digest: *[Blake3.digest_length]u8) callconv(.c) void {
    state.final(digest);
}
