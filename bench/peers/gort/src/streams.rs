//! Copies by the kernel, datagrams in batches, and connections that wait before they take a buffer.

use std::io::{Seek as _, Write as _};
use std::time::{Duration, Instant};

use gort::fs::File;
use gort::net::{Batch, TcpStream, UdpSocket, UnixStream};
use gort_bench_wire::check::expect;
use gort_bench_wire::files::Files;
use gort_bench_wire::memory::Memory;
use gort_bench_wire::streams::FarEnd;
use gort_bench_wire::timing::{Cost, each};
use gort_bench_wire::{Call, Outcome};

use crate::{Result, join};

const MIB: u64 = 1 << 20;

/// A cached file to a socket, `times` times.
pub fn copy_file_socket(call: &Call) -> Result<Outcome> {
    let (bytes, times) = (call.number::<usize>("bytes")?, call.number::<u64>("times")?);
    let dir = Files::new(1, bytes)?;
    let mut file = File::open(dir.path(0))?;
    let mut costs = Vec::new();
    for _ in 0..call.number::<u64>("repeats")? {
        let sink = FarEnd::sink()?;
        costs.push(Cost::of(|| -> Result<()> {
            let mut to = TcpStream::connect(sink.addr())?;
            for _ in 0..times {
                file.rewind()?;
                gort::io::copy(&mut file, &mut to)?;
            }
            drop(to);
            Ok(expect("bytes", gort::blocking(|| sink.end())?, bytes as u64 * times)?)
        })?);
    }
    Ok(each(&costs, bytes as u64 * times / MIB))
}

/// From one socket to another one.
pub fn proxy_splice(call: &Call) -> Result<Outcome> {
    let bytes = call.number::<u64>("bytes")?;
    let mut costs = Vec::new();
    for _ in 0..call.number::<u64>("repeats")? {
        let (source, sink) = (FarEnd::source(bytes)?, FarEnd::sink()?);
        costs.push(Cost::of(|| -> Result<()> {
            let (mut from, mut to) = (TcpStream::connect(source.addr())?, TcpStream::connect(sink.addr())?);
            gort::io::copy(&mut from, &mut to)?;
            drop(to);
            expect("bytes sent", gort::blocking(|| source.end())?, bytes)?;
            Ok(expect("bytes", gort::blocking(|| sink.end())?, bytes)?)
        })?);
    }
    Ok(each(&costs, bytes / MIB))
}

/// Datagrams that are there already, in batches, with where they come from.
pub fn udp_batch(call: &Call) -> Result<Outcome> {
    let (size, each, count) =
        (call.number::<usize>("batch")?, call.number::<usize>("each")?, call.number::<u64>("count")?);
    let (sender, receiver) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    sender.connect(receiver.local_addr()?)?;
    let (mut out, mut into, bytes) = (Batch::new(size, each), Batch::new(size, each), vec![0; each]);
    let (mut sending, mut receiving, mut done) = (Duration::ZERO, Duration::ZERO, 0);
    while done < count {
        out.clear();
        for _ in 0..size {
            out.push(&bytes, None)?;
        }
        let began = Instant::now();
        sender.send_batch(&mut out)?;
        sending += began.elapsed();
        let mut got = 0;
        while got < size {
            let began = Instant::now();
            got += receiver.recv_batch(&mut into)?;
            receiving += began.elapsed();
        }
        done += got as u64;
    }
    let of = |time: Duration| time.as_nanos() as f64 / done as f64;
    Ok(Outcome::new().with("ns", of(receiving)).with("send_ns", of(sending)))
}

/// What a connection takes that waits for something to read before it takes a buffer, over a goroutine that is parked.
pub fn idle_readable(call: &Call) -> Result<Outcome> {
    let count = call.number::<u64>("count")?;
    join(gort::go(|| ()))?;
    let wait = |number| {
        while gort::runtime::metrics().waiting < number {
            gort::sleep(Duration::from_millis(1));
        }
    };
    let before = Memory::of_this_process()?.total();
    let parked = (0..count).map(|_| Ok(gort::Builder::new().spawn(gort::park)?)).collect::<Result<Vec<_>>>()?;
    wait(count);
    let between = Memory::of_this_process()?.total();
    let mut far = Vec::with_capacity(count as usize);
    let mut waiting = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let (near, end) = UnixStream::pair()?;
        far.push(end.into_std()?);
        waiting.push(gort::Builder::new().spawn(move || near.readable())?);
    }
    wait(2 * count);
    let after = Memory::of_this_process()?.total();
    for handle in &parked {
        handle.goroutine().unpark();
    }
    for handle in parked {
        join(handle)?;
    }
    for mut end in far {
        end.write_all(&[1])?;
    }
    for handle in waiting {
        join(handle)??;
    }
    let of = |bytes: u64| bytes as f64 / count as f64;
    let (bare, connection) = (of(between - before), of(after - between));
    Ok(Outcome::new().with("bytes", connection - bare).with("all_bytes", connection).with("count", count as f64))
}
