//! A C function that blocks its thread: what a library in C does while it waits for its server, and gort cannot see.

#![allow(unsafe_code)]

use std::ffi::{c_int, c_uint};

unsafe extern "C" {
    /// Of the C library, which sleeps in the kernel for so many microseconds.
    safe fn usleep(micros: c_uint) -> c_int;
}

/// Sleeps inside of C.
pub fn ask_the_server(millis: u32) {
    usleep(millis * 1000);
}
