//! Goroutines in every kind of wait: those that a context reaches end, the others stay and go on later.

use super::{LONG, at_procs, descriptors, named, names, own_threads, shut_down_clean, wait_for_kept_threads};
use crate::child;
use crate::support::{ms, scaled, wait_until};
use gort::JoinHandle;
use gort::context::background;
use gort::net::{TcpListener, TcpStream};
use gort::runtime::shutdown;
use gort::sync::{Barrier, Condvar, Mutex, Notify, RwLock, Semaphore, WaitGroup};
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::{Duration, Instant};

/// What the goroutines wait for, and what ends it.
struct World {
    channel: (gort::chan::Sender<u8>, gort::chan::Receiver<u8>),
    full: gort::chan::Sender<u8>,
    mutex: Mutex<()>,
    rwlock: RwLock<()>,
    condvar: (Mutex<bool>, Condvar),
    semaphore: Semaphore,
    group: WaitGroup,
    barrier: Barrier,
    notify: Notify,
}

/// Starts a goroutine for each kind that no context reaches.
fn start_those_that_stay(world: &Arc<World>) -> Vec<JoinHandle<()>> {
    type Run = fn(&World);
    let kinds: &[(&str, Run)] = &[
        ("recv", |world| assert!(world.channel.1.recv().is_err())),
        ("send", |world| assert!(world.full.send(1).is_err())),
        ("select", |world| {
            gort::select! {
                recv(world.channel.1) -> value => assert!(value.is_err()),
                recv(gort::chan::after(Duration::from_secs(1000))) -> _ => unreachable!(),
            }
        }),
        ("mutex", |world| drop(world.mutex.lock().unwrap())),
        ("read lock", |world| drop(world.rwlock.read().unwrap())),
        ("write lock", |world| drop(world.rwlock.write().unwrap())),
        ("condvar", |world| {
            let mut is_set = world.condvar.0.lock().unwrap();
            while !*is_set {
                is_set = world.condvar.1.wait(is_set).unwrap();
            }
        }),
        ("semaphore", |world| drop(world.semaphore.acquire(1))),
        ("group", |world| world.group.wait()),
        ("barrier", |world| {
            world.barrier.wait();
        }),
        ("notify", |world| world.notify.wait()),
        ("sleep", |_| gort::sleep(ms(100))),
        ("park", |_| gort::park()),
        ("park with a limit", |_| gort::park_timeout(ms(100))),
        ("join", |_| drop(named("joined").spawn(|| gort::sleep(ms(100))).unwrap().join())),
        ("scope", |_| {
            gort::scope(|s| drop(named("scoped").spawn_scoped(s, || gort::sleep(ms(100))).unwrap()));
        }),
        ("locked", |_| {
            let _locked = gort::lock_os_thread();
            gort::sleep(ms(100));
        }),
        ("for ever alone", |world| {
            // Not the root's, so not ended.
            let (ctx, _) = background().without_cancel().with_timeout(ms(100));
            assert!(world.channel.1.recv_ctx(&ctx).is_err());
        }),
    ];
    kinds
        .iter()
        .map(|&(name, run)| {
            let world = world.clone();
            named(name).spawn(move || run(&world)).unwrap()
        })
        .collect()
}

/// Starts a goroutine for each kind that a context reaches. They fail if they are not ended.
fn start_those_that_end(
    world: &Arc<World>,
    listener: &Arc<TcpListener>,
    streams: &[Arc<TcpStream>],
) -> Vec<JoinHandle<()>> {
    let mut handles = Vec::new();
    let mut start = |run: Box<dyn FnOnce() + Send>| handles.push(gort::go(run));
    for _ in 0..3 {
        // The second and third wait for the first.
        let (listens, reads, writes) = (listener.clone(), streams[0].clone(), streams[0].clone());
        start(Box::new(move || drop(listens.accept().unwrap_err())));
        start(Box::new(move || drop((&*reads).read(&mut [0; 8]).unwrap_err())));
        start(Box::new(move || {
            let much = vec![0; 1 << 20];
            while (&*writes).write_all(&much).is_ok() {}
        }));
    }
    let in_context = streams[1].clone();
    start(Box::new(move || {
        let (ctx, _cancel) = background().with_cancel();
        ctx.run(|| drop((&*in_context).read(&mut [0; 8]).unwrap_err()));
    }));
    let with_value = streams[2].clone();
    start(Box::new(move || {
        static KEY: gort::context::Key<u8> = gort::context::Key::new("key");
        background().with_value(&KEY, 1).run(|| drop((&*with_value).read(&mut [0; 8]).unwrap_err()));
    }));
    for ctx in [background(), background().with_cancel().0, background().with_timeout(Duration::from_secs(1000)).0] {
        let world = world.clone();
        let all = [ctx.clone(), ctx.clone(), ctx];
        let [receives, sleeps, selects] = all;
        start(Box::new(move || assert!(world.channel.1.recv_ctx(&receives).is_err())));
        start(Box::new(move || assert!(sleeps.sleep(Duration::from_secs(1000)).is_err())));
        start(Box::new(move || {
            gort::select! {
                recv(selects.done()) -> _ => {}
                recv(gort::chan::after(Duration::from_secs(1000))) -> _ => unreachable!(),
            }
        }));
    }
    handles
}

/// Goroutines in every kind of wait.
#[test]
fn goroutines_in_every_kind_of_wait() {
    let this = child::of(|_| {
        let mut before = 0;
        for round in 0..4 {
            let (full, _full) = gort::chan::bounded(0);
            let world = Arc::new(World {
                channel: gort::chan::bounded(0),
                full,
                mutex: Mutex::new(()),
                rwlock: RwLock::new(()),
                condvar: (Mutex::new(false), Condvar::new()),
                semaphore: Semaphore::new(1),
                group: WaitGroup::new(),
                barrier: Barrier::new(2),
                notify: Notify::new(),
            });
            world.group.add(1);
            let mutex = world.mutex.lock().unwrap();
            let rwlock = world.rwlock.write().unwrap();
            let permit = world.semaphore.acquire(1);
            let staying = start_those_that_stay(&world);

            let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
            let address = listener.local_addr().unwrap();
            let pairs: Vec<_> = (0..3)
                .map(|_| {
                    let near = Arc::new(TcpStream::connect(address).unwrap());
                    (near, listener.accept().unwrap().0)
                })
                .collect();
            let streams: Vec<_> = pairs.iter().map(|(near, _)| near.clone()).collect();
            let ending = start_those_that_end(&world, &listener, &streams);
            let parked = |dump: &str| dump.lines().filter(|line| line.starts_with("goroutine ")).all(is_waiting);
            wait_until(|| parked(&gort::runtime::dump()));

            let patient = std::thread::spawn(|| shutdown(Instant::now() + scaled(LONG)));
            wait_until(|| ending.iter().all(|handle| handle.is_finished()));
            let left = shutdown(Instant::now());
            assert_eq!(names(&left), names(&patient.join().unwrap()));
            let is_bound = gort::runtime::mode() == gort::runtime::Mode::Bound;
            let kept = usize::from(names(&left).contains(&"locked"));
            assert!(left.threads() == kept || is_bound, "that of the one that has locked it: {left}");
            let mut expected: Vec<_> =
                staying.iter().map(|handle| handle.goroutine().name().unwrap().to_owned()).collect();
            expected.extend(["joined", "scoped"].map(str::to_owned));
            expected.sort_unstable();
            // Who sleeps for 100 ms may have ended on a slow machine.
            assert!(names(&left).iter().all(|name| expected.iter().any(|known| known == name)), "{left}");
            for name in ["recv", "send", "select", "mutex", "condvar", "group", "notify", "park", "barrier"] {
                assert!(names(&left).contains(&name), "{name} should be in {left}");
            }
            wait_for_kept_threads(&left);
            ending.into_iter().for_each(|handle| handle.join().unwrap());

            // What ends their waits may come while nothing runs.
            let late = round % 2 == 0;
            let end = || {
                drop((mutex, rwlock, permit));
                world.channel.0.close().unwrap();
                *world.condvar.0.lock().unwrap() = true;
                world.condvar.1.notify_all();
                world.group.done();
                world.notify.notify_one();
                staying.iter().for_each(|handle| handle.goroutine().unpark());
            };
            if late {
                end();
                gort::go(|| ()).join().unwrap();
            } else {
                gort::go(|| ()).join().unwrap();
                end();
            }
            drop(_full);
            world.barrier.wait();
            staying.into_iter().for_each(|handle| handle.join().unwrap());
            drop((pairs, streams, listener));
            shut_down_clean();
            assert!(round == 0 || descriptors() == before, "{} -> {}", before, descriptors());
            before = descriptors();
        }
    });
    at_procs(this, "");
}

fn is_waiting(line: &str) -> bool {
    !line.contains("[run") && !line.contains("[syscall")
}

/// A goroutine that never waits in gort but calls it all the time is stopped at such a call.
#[test]
fn goroutines_that_never_wait_are_stopped() {
    let this = child::of(|_| {
        let (over, begun) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (_s, r) = gort::chan::bounded::<u8>(1);
        let busy: Vec<_> = (0..6)
            .map(|n| {
                let (over, r, begun) = (over.clone(), r.clone(), begun.clone());
                let run = move || {
                    begun.fetch_add(1, SeqCst);
                    while !over.load(SeqCst) {
                        match n % 3 {
                            0 => gort::yield_now(),
                            1 => assert!(r.try_recv().is_err()),
                            _ => std::hint::spin_loop(),
                        }
                    }
                };
                named(["yields", "tries", "burns"][n % 3]).spawn(run).unwrap()
            })
            .collect();
        wait_until(|| begun.load(SeqCst) == 6);
        for _ in 0..10 {
            let left = shutdown(Instant::now() + ms(5));
            assert_eq!(names(&left).len(), 6, "{left}");
            assert!(left.threads() >= 2, "those that burn keep theirs: {left}");
            let is_bound = gort::runtime::mode() == gort::runtime::Mode::Bound;
            let kept = if is_bound { left.threads() } else { 2 };
            wait_until(|| own_threads().len() == kept);
            gort::go(|| ()).join().unwrap();
        }
        over.store(true, SeqCst);
        busy.into_iter().for_each(|handle| handle.join().unwrap());
        let left = shutdown(Instant::now() + scaled(LONG));
        assert!(left.is_empty(), "{left}");
    });
    at_procs(this, "");
}
