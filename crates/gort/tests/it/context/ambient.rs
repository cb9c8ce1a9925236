//! The ambient context.

use super::{ms, soon};
use crate::support::rounds;
use gort::context::{self, Ended, Key, background};
use gort::net::{TcpListener, TcpStream};
use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

static DEPTH: Key<u32> = Key::new("depth");

fn depth() -> Option<u32> {
    context::current().value(&DEPTH).copied()
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

/// As deep as one likes, and gone when it ends, also by a panic.
#[gort::test(procs = [1, 2, 4])]
fn it_is_there_inside_and_not_outside() {
    assert_eq!(depth(), None);
    background().with_value(&DEPTH, 1).run(|| {
        let inner = context::current().with_value(&DEPTH, 2);
        inner.run(|| {
            gort::yield_now();
            assert_eq!(depth(), Some(2));
        });
        let panics = std::panic::AssertUnwindSafe(|| inner.run(|| std::panic::resume_unwind(Box::new(()))));
        assert!(std::panic::catch_unwind(panics).is_err());
        assert_eq!(depth(), Some(1));
        background().run(|| assert_eq!(depth(), None));
    });
    assert_eq!(depth(), None);
}

/// Every way to start a goroutine, unless told otherwise; those that start later have none.
#[gort::test(procs = [1, 2, 4])]
fn goroutines_inherit_it() {
    background().with_value(&DEPTH, 3).run(|| {
        assert_eq!(gort::go(|| gort::go(depth).join().unwrap()).join().unwrap(), Some(3));
        assert_eq!(gort::Builder::new().stack_size(1 << 20).spawn(depth).unwrap().join().unwrap(), Some(3));
        let scoped = gort::scope(|scope| scope.spawn(depth).join().unwrap());
        assert_eq!(scoped, Some(3));
        let told = gort::Builder::new().name("told".into()).context(background().with_value(&DEPTH, 4));
        assert_eq!(told.spawn(depth).unwrap().join().unwrap(), Some(4));
        let free = gort::Builder::new().context(background());
        assert_eq!(free.spawn(depth).unwrap().join().unwrap(), None);
        let (s, r) = gort::chan::bounded(1);
        gort::time::after_func(Duration::ZERO, move || s.send(depth()).unwrap());
        assert_eq!(r.recv(), Ok(None));
    });
    let on_thread = std::thread::spawn(|| background().with_value(&DEPTH, 5).run(|| gort::go(depth).join().unwrap()));
    assert_eq!(on_thread.join().unwrap(), Some(5));
    assert_eq!(gort::go(depth).join().unwrap(), None, "the records are used again without it");
}

/// A value is dropped when the last goroutine that carries it has ended.
#[gort::test(procs = [1, 2, 4])]
fn a_goroutine_lets_go_of_it_at_its_end() {
    static TOKEN: Key<std::sync::Arc<()>> = Key::new("token");
    let token = std::sync::Arc::new(());
    let ctx = background().with_value(&TOKEN, token.clone());
    let goroutines: Vec<_> = (0..100).map(|_| ctx.run(|| gort::go(gort::yield_now))).collect();
    drop(ctx);
    for goroutine in goroutines {
        goroutine.join().unwrap();
    }
    assert_eq!(std::sync::Arc::strong_count(&token), 1);
}

/// Data that is there is not read by somebody whose context has ended, as with a deadline.
#[gort::test(procs = [1, 2, 4])]
fn a_context_that_has_ended_is_noticed_before_any_io() {
    let (mut client, mut server) = pair();
    server.write_all(b"x").unwrap();
    let (ctx, cancel) = background().with_cancel();
    cancel.cancel();
    let (error, written) = ctx.run(|| (client.read(&mut [0; 8]).unwrap_err(), client.write(b"y")));
    assert_eq!(error.kind(), ErrorKind::Other);
    assert!(written.is_err());
    assert_eq!(client.read(&mut [0; 8]).unwrap(), 1);
}

/// `TimedOut` for its deadline, never early; a stream's own deadline stays one of the stream.
#[gort::test(procs = [1, 2, 4])]
fn the_deadline_that_comes_first_ends_the_read() {
    let (mut client, _server) = pair();
    let start = Instant::now();
    let (ctx, _) = background().with_timeout(ms(5));
    let error = ctx.run(|| client.read(&mut [0; 8])).unwrap_err();
    assert!(start.elapsed() >= ms(5));
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(Ended::find(&error).unwrap().is_deadline_exceeded());
    let (ctx, _) = background().with_timeout(Duration::from_secs(3600));
    client.set_read_timeout(Some(ms(5))).unwrap();
    let error = ctx.run(|| client.read(&mut [0; 8])).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock));
    assert!(Ended::find(&error).is_none(), "the stream's own");
}

/// One cancellation ends all readers that inherited it.
#[gort::test(procs = [1, 2, 4])]
fn a_hundred_readers_end_at_once() {
    let pairs: Vec<_> = (0..100).map(|_| pair()).collect();
    let (ctx, cancel) = background().with_cancel();
    gort::scope(|scope| {
        let readers: Vec<_> = ctx.run(|| {
            pairs.iter().map(|(client, _)| scope.spawn(move || (&*client).read(&mut [0; 8]).unwrap_err())).collect()
        });
        crate::support::wait_until(|| gort::runtime::dump().matches("[IO wait, read").count() >= 100);
        let start = Instant::now();
        cancel.cancel();
        for reader in readers {
            assert_eq!(reader.join().unwrap().kind(), ErrorKind::Other);
        }
        assert!(start.elapsed() < 2 * soon(), "{:?}", start.elapsed());
    });
}

/// Data against the end of the context: every byte is read once.
#[gort::test(procs = [1, 2, 4])]
fn a_read_that_gives_up_loses_no_byte() {
    let (mut client, mut server) = pair();
    let count = rounds(3000);
    let writer = gort::go(move || {
        for n in 0..count {
            server.write_all(&[n as u8]).unwrap();
            if n % 8 == 0 {
                gort::sleep(Duration::from_micros(30));
            }
        }
    });
    let mut next = 0;
    while next < count {
        let (ctx, cancel) = background().with_timeout(Duration::from_micros(40));
        let canceller = (next % 8 == 0).then(|| gort::go(move || cancel.cancel()));
        let mut byte = [0];
        match ctx.run(|| client.read(&mut byte)) {
            Ok(got) => {
                assert_eq!((got, byte[0]), (1, next as u8));
                next += 1;
            }
            Err(error) => assert!(Ended::find(&error).is_some(), "{error:?}"),
        }
        if let Some(canceller) = canceller {
            canceller.join().unwrap();
        }
    }
    writer.join().unwrap();
}

/// `timeout` bounds what is inside and lets the rest be.
#[gort::test(procs = [1, 2, 4])]
fn a_timeout_bounds_the_calls_inside() {
    let (mut client, _server) = pair();
    let outcome = gort::time::timeout(ms(3), || {
        let error = client.read(&mut [0; 8]).unwrap_err();
        (error.kind(), context::current().err().unwrap().is_deadline_exceeded())
    });
    assert_eq!(outcome, (ErrorKind::TimedOut, true));
    assert!(context::current().err().is_none());
}
