//! CX-07: a cancellation reaches whoever waits.

use super::{ms, soon};
use crate::support::{rounds, wait_until};
use gort::chan::{Receiver, RecvCtxError, SendCtxError, bounded};
use gort::context::{Cancel, Context, Ended, background};
use gort::net::{TcpListener, TcpStream};
use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

/// Runs `wait` on a goroutine, and on a thread; cancels once a dump shows it parked for `reason`, and sees it end soon.
fn is_reached<R: Send + 'static>(reason: &str, wait: impl Fn(Context) -> R + Send + Sync + 'static, check: impl Fn(R)) {
    let wait = std::sync::Arc::new(wait);
    for on_thread in [false, true] {
        let (ctx, cancel) = background().with_cancel();
        let (s, r) = bounded(1);
        let wait = wait.clone();
        let body = move || s.send((wait(ctx), Instant::now())).unwrap();
        let goroutine = if on_thread {
            std::thread::spawn(body);
            None
        } else {
            Some(gort::go(body))
        };
        wait_until(|| gort::runtime::dump().contains(&format!("[{reason}")));
        let outcome = cancel_and_take(&cancel, &r);
        check(outcome);
        if let Some(goroutine) = goroutine {
            goroutine.join().unwrap();
        }
    }
}

fn cancel_and_take<R>(cancel: &Cancel, r: &Receiver<(R, Instant)>) -> R {
    let cancelled_at = Instant::now();
    cancel.cancel();
    let (outcome, ended_at) = r.recv_timeout(Duration::from_secs(20)).expect("not reached");
    let took = ended_at.saturating_duration_since(cancelled_at);
    assert!(took < soon(), "took {took:?}");
    outcome
}

fn is_cancelled(error: &io::Error) {
    assert_eq!(error.kind(), ErrorKind::Other, "{error:?}");
    assert!(Ended::find(error).unwrap().is_cancelled());
}

/// CX-07, accept: the listener goes on.
#[gort::test(procs = [1, 2, 4])]
fn an_accept_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let theirs = listener.try_clone().unwrap();
    is_reached(
        "IO wait, read",
        move |ctx| ctx.run(|| theirs.accept().map(drop)),
        |outcome| is_cancelled(&outcome.unwrap_err()),
    );
    let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    listener.accept().unwrap();
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

/// CX-07, read: the stream goes on.
#[gort::test(procs = [1, 2, 4])]
fn a_read_ends_and_the_stream_can_be_used_further() {
    let (client, mut server) = pair();
    let theirs = client.try_clone().unwrap();
    is_reached(
        "IO wait, read",
        move |ctx| ctx.run(|| (&theirs).read(&mut [0; 8])),
        |outcome| is_cancelled(&outcome.unwrap_err()),
    );
    server.write_all(b"x").unwrap();
    assert_eq!((&client).read(&mut [0; 8]).unwrap(), 1);
}

/// CX-07, write with full buffers, which std's `write_all` must not try again.
#[gort::test(procs = [1, 2, 4])]
fn a_write_ends() {
    let (client, _server) = pair();
    is_reached(
        "IO wait, write",
        move |ctx| ctx.run(|| (&client).write_all(&vec![0; 64 << 20])),
        |outcome| is_cancelled(&outcome.unwrap_err()),
    );
}

/// CX-07, a reader that waits behind another reader.
#[gort::test(procs = [1, 2, 4])]
fn a_queued_reader_ends() {
    let (client, mut server) = pair();
    let client = std::sync::Arc::new(client);
    let theirs = client.clone();
    let first = gort::go(move || (&*theirs).read(&mut [0; 1]));
    wait_until(|| gort::runtime::dump().contains("[IO wait, read"));
    let theirs = client.clone();
    is_reached(
        "IO wait, another reader",
        move |ctx| ctx.run(|| (&*theirs).read(&mut [0; 1])),
        |outcome| is_cancelled(&outcome.unwrap_err()),
    );
    server.write_all(b"ab").unwrap();
    assert_eq!(first.join().unwrap().unwrap(), 1);
    assert_eq!((&*client).read(&mut [0; 8]).unwrap(), 1);
}

/// CX-07, connect: a listener whose queue is full answers nobody.
#[gort::test(procs = [1, 2, 4])]
fn a_connect_ends() {
    let (address, _full) = full_listener();
    is_reached(
        "IO wait, write",
        move |ctx| ctx.run(|| TcpStream::connect(address).map(drop)),
        |outcome| is_cancelled(&outcome.unwrap_err()),
    );
}

/// A listener of the kernel's with the shortest queue, and connections that fill it.
fn full_listener() -> (std::net::SocketAddr, (std::net::TcpListener, Vec<TcpStream>)) {
    use std::os::fd::AsRawFd;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    // SAFETY: a descriptor that is open.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
    let address = listener.local_addr().unwrap();
    let mut clients = vec![];
    while let Ok(client) = TcpStream::connect_timeout(&address, ms(50)) {
        clients.push(client);
    }
    (address, (listener, clients))
}

/// CX-07, channels: nothing is lost.
#[gort::test(procs = [1, 2, 4])]
fn channel_operations_end_and_lose_nothing() {
    let (s, r) = bounded::<u8>(0);
    let theirs = r.clone();
    is_reached(
        "select",
        move |ctx| theirs.recv_ctx(&ctx),
        |outcome| assert!(matches!(outcome, Err(RecvCtxError::Ended(why)) if why.is_cancelled())),
    );
    is_reached(
        "select",
        move |ctx| s.send_ctx(7, &ctx),
        |outcome| assert!(matches!(outcome, Err(SendCtxError::Ended(7, why)) if why.is_cancelled())),
    );
    assert!(r.try_recv().is_err(), "the value came back");
}

/// CX-07, sleeps.
#[gort::test(procs = [1, 2, 4])]
fn a_sleep_ends() {
    is_reached("sleep", |ctx| ctx.sleep(Duration::MAX), |outcome| assert!(outcome.unwrap_err().is_cancelled()));
    let (ctx, _) = background().with_timeout(ms(2));
    let start = Instant::now();
    assert!(ctx.sleep(Duration::from_secs(60)).unwrap_err().is_deadline_exceeded());
    assert!(start.elapsed() >= ms(2));
    assert!(ctx.sleep(Duration::ZERO).is_err(), "it had ended before");
}

/// A join: the handle stays good.
#[gort::test(procs = [1, 2, 4])]
fn a_join_ends_and_can_be_done_again() {
    is_reached(
        "join",
        |ctx| {
            let mut parked = gort::go(gort::park);
            let outcome = parked.wait_ctx(&ctx);
            parked.goroutine().unpark();
            parked.wait_ctx(&background()).unwrap();
            parked.wait_ctx(&ctx).expect("it has ended, and that wins");
            parked.join().unwrap();
            outcome
        },
        |outcome| assert!(outcome.unwrap_err().is_cancelled()),
    );
}

/// The end of a goroutine against that of the context.
#[gort::test(procs = [1, 2, 4])]
fn a_join_that_gives_up_races_with_the_end() {
    for round in 0..rounds(3000) as u64 {
        let (ctx, cancel) = background().with_timeout(Duration::from_micros(round % 60 + 1));
        let canceller = (round % 3 == 0).then(|| gort::go(move || cancel.cancel()));
        let mut ends = gort::go(move || {
            for _ in 0..round % 7 {
                gort::yield_now();
            }
            round
        });
        while ends.wait_ctx(&ctx).is_err() {
            if round % 2 == 0 {
                break;
            }
        }
        assert_eq!(ends.join().unwrap(), round);
        if let Some(canceller) = canceller {
            canceller.join().unwrap();
        }
    }
}

/// A value against the end of the context: it is received, or still there.
#[gort::test(procs = [1, 2, 4])]
fn a_receive_that_gives_up_loses_no_value() {
    let (s, r) = bounded(0);
    let count = rounds(3000);
    let sender = gort::go(move || (0..count).for_each(|n| s.send(n).unwrap()));
    let mut next = 0;
    let mut given_up = 0;
    loop {
        let (ctx, cancel) = background().with_timeout(Duration::from_micros(20));
        let canceller = (next % 16 == 0).then(|| gort::go(move || cancel.cancel()));
        match r.recv_ctx(&ctx) {
            Ok(n) => {
                assert_eq!(n, next);
                next += 1;
            }
            Err(RecvCtxError::Disconnected) => break,
            Err(RecvCtxError::Ended(_)) => given_up += 1,
        }
        if let Some(canceller) = canceller {
            canceller.join().unwrap();
        }
    }
    sender.join().unwrap();
    assert_eq!(next, count, "after giving up {given_up} times");
}
