//! Copies and datagrams by hand: a loop of `sendfile`, one of `splice`, and `recvmmsg`.

use std::fs::File;
use std::mem::zeroed;
use std::net::{TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use gort_bench_wire::check::expect;
use gort_bench_wire::files::Files;
use gort_bench_wire::streams::FarEnd;
use gort_bench_wire::timing::{Cost, each};
use gort_bench_wire::{Call, Outcome, process};
use rustix::fs::sendfile;
use rustix::pipe::{SpliceFlags, pipe, splice};

use crate::worker::number;

const STEP: usize = 1 << 20;
const MIB: usize = 1 << 20;

/// A cached file to a socket, `times` times.
pub fn copy_file_socket(call: &Call) -> Result<Outcome> {
    process::stay_on(number(call, "procs")?)?;
    let (bytes, times) = (number(call, "bytes")?, number(call, "times")?);
    let dir = Files::new(1, bytes)?;
    let file = File::open(dir.path(0))?;
    let copy = |_| {
        let sink = FarEnd::sink()?;
        Cost::of(|| -> Result<()> {
            let to = TcpStream::connect(sink.addr())?;
            for _ in 0..times {
                let mut from = 0;
                while sendfile(&to, &file, Some(&mut from), STEP)? > 0 {}
            }
            drop(to);
            Ok(expect("bytes", sink.end()?, (bytes * times) as u64)?)
        })
    };
    let costs = (0..number(call, "repeats")?).map(copy).collect::<Result<Vec<_>>>()?;
    Ok(each(&costs, (bytes * times / MIB) as u64))
}

/// From one socket to another one.
pub fn proxy_splice(call: &Call) -> Result<Outcome> {
    process::stay_on(number(call, "procs")?)?;
    let bytes = number(call, "bytes")?;
    let copy = |_| {
        let (source, sink) = (FarEnd::source(bytes as u64)?, FarEnd::sink()?);
        Cost::of(|| -> Result<()> {
            let (from, to) = (TcpStream::connect(source.addr())?, TcpStream::connect(sink.addr())?);
            let (out, into) = pipe()?;
            loop {
                let mut held = splice(&from, None, &into, None, STEP, SpliceFlags::MOVE)?;
                if held == 0 {
                    break;
                }
                while held > 0 {
                    held -= splice(&out, None, &to, None, held, SpliceFlags::MOVE)?;
                }
            }
            drop(to);
            expect("bytes sent", source.end()?, bytes as u64)?;
            Ok(expect("bytes", sink.end()?, bytes as u64)?)
        })
    };
    let costs = (0..number(call, "repeats")?).map(copy).collect::<Result<Vec<_>>>()?;
    Ok(each(&costs, (bytes / MIB) as u64))
}

/// Datagrams that are there already, in batches, with where they come from.
pub fn udp_batch(call: &Call) -> Result<Outcome> {
    process::stay_on(number(call, "procs")?)?;
    let (batch, each, count) = (number(call, "batch")?, number(call, "each")?, number(call, "count")?);
    let (sender, receiver) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    sender.connect(receiver.local_addr()?)?;
    let mut bytes = vec![0_u8; batch * each];
    let mut pieces: Vec<libc::iovec> = bytes
        .chunks_mut(each)
        .map(|piece| libc::iovec { iov_base: piece.as_mut_ptr().cast(), iov_len: each })
        .collect();
    // SAFETY: all zeros are what such structures are when they are empty.
    let mut addrs: Vec<libc::sockaddr_storage> = vec![unsafe { zeroed() }; batch];
    // SAFETY: as above.
    let mut headers: Vec<libc::mmsghdr> = vec![unsafe { zeroed() }; batch];
    let (mut sending, mut receiving, mut done) = (Duration::ZERO, Duration::ZERO, 0);
    while done < count {
        for ((header, piece), addr) in headers.iter_mut().zip(&mut pieces).zip(&mut addrs) {
            (header.msg_hdr.msg_iov, header.msg_hdr.msg_iovlen) = (piece, 1);
            (header.msg_hdr.msg_name, header.msg_hdr.msg_namelen) = (std::ptr::null_mut(), 0);
            let _ = addr;
        }
        let began = Instant::now();
        // SAFETY: `batch` headers, which point to memory that lives as long as the call.
        let sent = unsafe { libc::sendmmsg(sender.as_raw_fd(), headers.as_mut_ptr(), batch as u32, 0) };
        sending += began.elapsed();
        ensure!(sent == batch as i32, "{sent} of {batch} datagrams were sent");
        let mut got = 0;
        while got < batch {
            let began = Instant::now();
            for (header, addr) in headers.iter_mut().zip(&mut addrs) {
                header.msg_hdr.msg_name = std::ptr::from_mut(addr).cast();
                header.msg_hdr.msg_namelen = size_of_val(addr) as u32;
            }
            let (fd, flags, forever) = (receiver.as_raw_fd(), libc::MSG_WAITFORONE, std::ptr::null_mut());
            // SAFETY: as above.
            let count = unsafe { libc::recvmmsg(fd, headers.as_mut_ptr(), batch as u32, flags, forever) };
            receiving += began.elapsed();
            ensure!(count > 0, "recvmmsg has failed");
            got += count as usize;
        }
        done += got;
    }
    let of = |time: Duration| time.as_nanos() as f64 / done as f64;
    Ok(Outcome::new().with("ns", of(receiving)).with("send_ns", of(sending)))
}
