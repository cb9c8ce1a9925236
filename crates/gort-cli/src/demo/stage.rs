//! The process that plays a situation. Its parent is `player`.
//!
//! The main thread stays outside the runtime: whatever becomes of the goroutines, it says at the end what has come. It looks at its stdin all the
//! time and ends the process with it, so that no endless loop outlives its parent.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::actors::Actors;
use super::files::{self, Files};
use super::meter::Meter;
use super::scenes::{self, Counts};
use super::side::{Line, Side, Stage};
use crate::args::{Cast, Demo, Situation};
use crate::measure::{self, OthersCpus};
use crate::{control, out, serve, server};

/// How often threads are counted and stdin is looked at.
const SAMPLE: Duration = Duration::from_millis(10);
/// How often the parent hears something.
const NEWS: Duration = Duration::from_millis(100);
/// From the last preparation to the first beat.
const BREATH: Duration = Duration::from_millis(20);

/// Plays `args.situation` for its time and says what came of it.
pub fn play(args: &Demo) -> Result<()> {
    let are_files = args.situation == Situation::Files;
    let actors = if args.cast == Cast::Threads && !are_files { Actors::Threads } else { Actors::Goroutines };
    let stage = match actors {
        Actors::Goroutines => Stage {
            procs: server::use_procs(args.procs)?,
            mode: Some(gort::runtime::mode().to_string()),
            bound_because: gort::runtime::bound_because().map(str::to_owned),
        },
        Actors::Threads => Stage { procs: args.procs.unwrap_or(1).into(), ..Stage::default() },
    };
    if args.situation == Situation::Deadlock {
        return fall_asleep(stage);
    }
    let files = if are_files { Some(Files::prepare(args.cast)?.begin()?) } else { None };
    let (ticker, echo) = (Arc::new(Meter::new()), Arc::new(Meter::new()));
    let mut stream = actors.far_end(|_| {}).and_then(|far_end| far_end.connect()).context("cannot use the loopback")?;
    // Each of those who beat has it until it ends.
    let over = Arc::new(AtomicBool::new(false));
    let began = Instant::now() + BREATH;
    {
        let (ticker, echo) = (ticker.clone(), echo.clone());
        let (over_for_ticker, over_for_echo) = (over.clone(), over.clone());
        let mut ask = move || stream.write_all(&[7]).and_then(|()| stream.read_exact(&mut [0]));
        actors
            .go(move || drop(ticker.beat(actors, began, &over_for_ticker, || Ok(()))))
            .and_then(|()| actors.go(move || drop(echo.beat(actors, began, &over_for_echo, &mut ask))))
            .context("cannot start who beats")?;
    }
    let procs = stage.procs as usize;
    say(&Line::Begun(stage))?;
    look_at_stdin(BREATH)?;
    let others = OthersCpus::begin();
    let counts = match files {
        Some(files) => files,
        None if args.cast == Cast::Nobody => Counts::default(),
        None => scenes::begin(args.situation, actors, procs, args.duration).context("cannot set the scene")?,
    };

    let (mut threads_peak, mut told) = (0, began);
    let end = began + args.duration;
    while Instant::now() < end {
        look_at_stdin(SAMPLE.min(end.saturating_duration_since(Instant::now())))?;
        threads_peak = threads_peak.max(measure::threads());
        if told.elapsed() >= NEWS {
            told = Instant::now();
            say(&Line::Sofar { ticks: ticker.came(), echoes: echo.came() })?;
        }
    }
    let side = Side {
        os_threads_peak: threads_peak,
        retakes: if actors == Actors::Goroutines { retakes() } else { BTreeMap::new() },
        others_cpus: others.end(),
        reads_per_s: files::reads_per_s(&counts, args.duration),
        work: counts.all(),
        ..Side::of(&ticker.until(began, end), &echo.until(began, end))
    };
    say(&Line::Done(Box::new(side)))?;
    // As a program does that wants to end in order: it waits for those whose work it needs. If they never come the parent ends it.
    over.store(true, Relaxed);
    while Arc::strong_count(&over) > 1 {
        look_at_stdin(SAMPLE)?;
    }
    // The loops go on; they end with the process.
    std::process::exit(0);
}

/// Everybody waits for somebody else, after the network was used, too.
fn fall_asleep(stage: Stage) -> Result<()> {
    let stream = Actors::Goroutines.far_end(|_| {}).and_then(|far_end| far_end.connect());
    drop(stream.context("cannot use the loopback")?);
    let (to_one, from_other) = gort::chan::bounded::<u8>(0);
    let (to_other, from_one) = gort::chan::bounded::<u8>(0);
    say(&Line::Begun(stage))?;
    gort::Builder::new()
        .name("one".into())
        .spawn(move || from_other.recv().map(|n| to_other.send(n)))
        .context("cannot start a goroutine")?;
    let other = gort::Builder::new()
        .name("the other".into())
        .spawn(move || from_one.recv().map(|n| to_one.send(n)))
        .context("cannot start a goroutine")?;
    if std::env::var("GORT_DEADLOCK").is_ok_and(|policy| policy == "off") {
        while !other.is_finished() {
            look_at_stdin(SAMPLE)?;
        }
    }
    let _ = other.join();
    Ok(())
}

fn retakes() -> BTreeMap<String, u64> {
    let metrics = gort::runtime::metrics();
    let counts = [
        ("total", metrics.retakes),
        ("marked", metrics.retakes_marked),
        ("in_the_kernel", metrics.retakes_in_kernel),
        ("on_the_cpu", metrics.retakes_on_cpu),
    ];
    counts.into_iter().map(|(cause, count)| (cause.to_owned(), count)).collect()
}

fn say(line: &Line) -> Result<()> {
    out::stdout(&control::line(line)?)
}

/// Waits for so long, or ends the process if its parent is gone.
fn look_at_stdin(limit: Duration) -> Result<()> {
    let stdin = std::io::stdin();
    if serve::wait(&[&stdin], Some(limit))?[0] && rustix::io::read(&stdin, &mut [0; 64]) == Ok(0) {
        std::process::exit(1);
    }
    Ok(())
}
