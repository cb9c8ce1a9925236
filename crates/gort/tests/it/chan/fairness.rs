//! Channels and the scheduler: nobody starves, blocking sections included.

use crate::support::scaled;
use gort::chan::{TryRecvError, after, bounded, tick};
use gort::sync::Mutex;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::{Duration, Instant};

/// SC-01. Who looks into a channel and yields starves nobody, also locked to its thread.
#[gort::test(procs = [1, 2, 4])]
fn a_goroutine_that_polls_a_channel_and_yields_starves_nobody() {
    for locked in [false, true] {
        let (s, r) = bounded(0);
        let (acknowledge, acknowledged) = bounded(0);
        let looping = gort::go(move || {
            let _thread = locked.then(gort::lock_os_thread);
            while r.try_recv() == Err(TryRecvError::Empty) {
                gort::yield_now();
            }
            acknowledge.send(()).unwrap();
        });
        gort::sleep(Duration::from_millis(10));
        s.send(()).unwrap();
        acknowledged.recv().unwrap();
        looping.join().unwrap();
    }
}

/// SC-07. A timer that is due has its turn among channels that always are ready.
#[gort::test(procs = [1, 2, 4])]
fn a_due_timer_is_not_hidden_by_ready_channels() {
    let started = Instant::now();
    let (s, r) = bounded(0);
    let (done, is_done) = bounded::<()>(0);
    let senders = [s.clone(), s].map(|s| {
        let is_done = is_done.clone();
        gort::go(move || {
            loop {
                gort::select! {
                    send(s, ()) -> _ => (),
                    recv(is_done) -> _ => break,
                }
            }
        })
    });
    let timer = after(Duration::from_millis(20));
    loop {
        gort::select! {
            recv(r) -> _ => (),
            recv(timer) -> _ => break,
        }
    }
    assert!(started.elapsed() < scaled(Duration::from_secs(2)), "{:?}", started.elapsed());
    drop(done);
    senders.into_iter().for_each(|sender| sender.join().unwrap());
}

/// SC-08. A goroutine that only looks, into a channel, at a lock that is held or free, at the clock (a ticker that is not due; gort has no clock of
/// its own beside std's), gives way when its slice is over.
#[gort::test(procs = 1, timeout = 60)]
fn two_goroutines_that_only_try_take_turns_on_one_proc() {
    let (held, free) = (Arc::new(Mutex::new(())), Arc::new(Mutex::new(())));
    let holds = held.lock().unwrap();
    let clock = tick(Duration::from_secs(3600));
    let (_s, r) = bounded(1);
    let looks: [Arc<dyn Fn() + Send + Sync>; 5] = [
        Arc::new(move || assert_eq!(r.try_recv(), Err::<(), _>(TryRecvError::Empty))),
        Arc::new({
            let held = held.clone();
            move || assert!(held.try_lock().is_err())
        }),
        Arc::new(move || drop(free.try_lock())),
        Arc::new(move || assert!(clock.try_recv().is_err())),
        Arc::new(|| assert!(Instant::now().elapsed() < Duration::from_secs(60))),
    ];
    for look in looks {
        let turn = Arc::new(AtomicUsize::new(0));
        let players = [0, 1].map(|me| {
            let (turn, look) = (turn.clone(), look.clone());
            gort::go(move || {
                for round in 0..5 {
                    while turn.load(Acquire) != round * 2 + me {
                        look();
                    }
                    turn.store(round * 2 + me + 1, Release);
                }
            })
        });
        players.into_iter().for_each(|player| player.join().unwrap());
        assert_eq!(turn.load(Acquire), 10);
    }
    drop(holds);
}

/// SC-13. Newcomers are not starved by a hundred pairs that play ping-pong on channels.
#[gort::test(procs = [1, 2, 4], timeout = 60)]
fn a_newcomer_gets_its_turn_among_a_hundred_pairs_on_channels() {
    let stop = Arc::new(AtomicBool::new(false));
    let players: Vec<_> = (0..100)
        .flat_map(|_| {
            let (ping, pinged) = bounded(0);
            let (pong, ponged) = bounded(0);
            let stop = stop.clone();
            let first = gort::go(move || {
                while !stop.load(Acquire) {
                    ping.send(()).unwrap();
                    ponged.recv().unwrap();
                }
            });
            [first, gort::go(move || pinged.iter().for_each(|()| pong.send(()).unwrap()))]
        })
        .collect();
    let started = Instant::now();
    gort::go(|| (0..5).for_each(|_| gort::yield_now())).join().unwrap();
    assert!(started.elapsed() < scaled(Duration::from_secs(1)), "{:?}", started.elapsed());
    stop.store(true, Release);
    players.into_iter().for_each(|player| player.join().unwrap());
}

/// HF-07. In a blocking section one may enter another, lock a mutex for which another goroutine waits, too, yield, and use channels; afterwards the
/// goroutine has its processor again.
#[gort::test(procs = 1)]
fn channels_and_locks_work_inside_nested_blocking_sections() {
    let mutex = Arc::new(Mutex::new(0));
    for _ in 0..100 {
        *mutex.lock().unwrap() = 0;
        let (s, r) = bounded(0);
        let (answer, answered) = bounded(1);
        let other = gort::go(move || answer.send(r.recv().unwrap() + r.recv().unwrap()).unwrap());
        let add = |mutex: &Mutex<usize>| {
            for round in 0..200 {
                let mut guard = mutex.lock().unwrap();
                if round % 10 == 0 {
                    gort::yield_now();
                }
                *guard += 1;
            }
        };
        let theirs = mutex.clone();
        let also = gort::go(move || add(&theirs));
        gort::blocking(|| {
            gort::blocking(|| s.send(1).unwrap());
            add(&mutex);
            gort::yield_now();
            s.send(2).unwrap();
        });
        assert_eq!(answered.recv(), Ok(3));
        other.join().unwrap();
        also.join().unwrap();
        assert_eq!(*mutex.lock().unwrap(), 400);
        gort::yield_now();
        let metrics = gort::runtime::metrics();
        assert_eq!((metrics.blocking, metrics.running), (0, 1));
    }
}
