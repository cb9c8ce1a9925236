//! One run: connect, warm up, measure, stop, with an eye on everything that can go wrong meanwhile.
//!
//! The main thread does this, outside the runtime: whatever state the goroutines are in, it can still see that the server has
//! died, that nothing moves or that the user has had enough. It never waits without a limit.

use std::time::{Duration, Instant};

use anyhow::{Error, Result, anyhow, bail};

use crate::child::ServerProcess;
use crate::control::Report;
use crate::load::{self, Load, Outcome, Plan};
use crate::progress::{Progress, TICK};
use crate::report::number::{counted, grouped};
use crate::stop::StopFlag;

/// Nothing moving for this long is a failure.
const STALLED: Duration = Duration::from_secs(15);
/// How long the last replies may take.
const LAST_REPLIES: Duration = Duration::from_secs(5);

/// What came of it.
#[derive(Debug)]
pub struct Finished {
    /// Connections that were open when the load began.
    pub conns: u64,
    /// The time that counted.
    pub measured: Duration,
    /// What the clients found.
    pub outcome: Outcome,
    /// The server at the begin and at the end of that time, if it is ours.
    pub server: Option<(Mark, Mark)>,
    /// Whether the user ended it early.
    pub interrupted: bool,
    /// Whether no connection was left at the end that still had replies.
    pub deserted: bool,
}

/// The server's figures, and how many requests had been answered when they were taken.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    /// What the server said.
    pub report: Report,
    /// Replies of all clients until then. What the server used between two marks belongs to the replies between them; the time
    /// that counts begins and ends at moments a little different.
    pub answered: f64,
}

/// The user ended it before there was anything to report, unless it is what went wrong until then.
#[derive(Debug)]
pub struct NothingYet {
    faults: String,
}

impl std::fmt::Display for NothingYet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted before a request was measured: nothing to report")?;
        if self.faults.is_empty() { Ok(()) } else { write!(f, " but: {}", self.faults) }
    }
}

impl std::error::Error for NothingYet {}

/// Everything a run needs to look at.
#[derive(Debug)]
pub struct Run<'a> {
    /// The load.
    pub plan: Plan,
    /// How long to measure.
    pub duration: Duration,
    /// The server, if it is ours.
    pub server: Option<&'a mut ServerProcess>,
    /// The live line.
    pub progress: &'a Progress,
    /// The user.
    pub stop: &'a StopFlag,
    /// What the live line calls this run.
    pub name: String,
}

impl Run<'_> {
    /// Does it.
    pub fn carry_out(mut self) -> Result<Finished> {
        let load = Load::start(self.plan.clone());
        match self.phases(&load) {
            Ok((conns, measured, server)) => {
                let lost = load.progress().lost;
                let outcome = load.stop(LAST_REPLIES);
                let deserted = lost + outcome.silent >= u64::from(self.plan.conns);
                if outcome.requests == 0 {
                    return Err(self.nothing_measured(conns, measured, deserted, &outcome));
                }
                Ok(Finished { conns, measured, outcome, server, interrupted: self.stop.raised(), deserted })
            }
            Err(e) => {
                // The clients end by themselves or with the process; the error is what matters now.
                load.stop(Duration::ZERO);
                Err(e)
            }
        }
    }

    #[expect(clippy::type_complexity, reason = "the parts of `Finished`, taken apart again by the only caller")]
    fn phases(&mut self, load: &Load) -> Result<(u64, Duration, Option<(Mark, Mark)>)> {
        let conns = self.connect(load)?;
        load.warm_up();
        self.go_on("warming up", (self.duration / 5).min(Duration::from_secs(1)), load)?;
        let before = self.mark(load)?;
        if self.stop.raised() {
            return Err(NothingYet { faults: reasons(load) }.into());
        }
        load.measure();
        let began = Instant::now();
        self.go_on("measuring", self.duration, load)?;
        load.cool_down();
        let measured = began.elapsed();
        let after = self.mark(load)?;
        Ok((conns, measured, before.zip(after)))
    }

    /// Waits until all connections are open and tried, or have failed.
    fn connect(&mut self, load: &Load) -> Result<u64> {
        let conns = u64::from(self.plan.conns);
        self.progress.phase(&self.name, conns);
        let mut stall = Stall::new();
        loop {
            load.check()?;
            let now = load.progress();
            self.progress.at(now.connected, format!("{} of {} connections", grouped(now.connected), grouped(conns)));
            if now.connected + now.lost >= conns {
                if now.connected == 0 {
                    return Err(self.nobody_answered(now, load));
                }
                return Ok(now.connected);
            }
            if now.connected == 0 && now.lost >= 64 {
                return Err(self.nobody_answered(now, load));
            }
            if stall.lasts(now.connected + now.lost) {
                bail!(
                    "{} of {} to {} were opened, {} had their first request answered, and then nothing moved for {STALLED:?}{}",
                    grouped(now.opened),
                    counted(conns, "connection"),
                    self.addresses(),
                    if now.connected == 0 { "none".into() } else { grouped(now.connected) },
                    because(load)
                );
            }
            if self.stop.raised() {
                return Err(NothingYet { faults: reasons(load) }.into());
            }
            self.tick()?;
        }
    }

    /// Lets the load run for `time`, or until the user or the last connection ends it.
    fn go_on(&mut self, what: &str, time: Duration, load: &Load) -> Result<()> {
        self.progress.phase(&self.name, u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let began = Instant::now();
        let first = load.progress().requests;
        let mut stall = Stall::new();
        loop {
            let now = load.progress();
            let passed = began.elapsed();
            if passed >= time || self.stop.raised() || now.lost >= u64::from(self.plan.conns) {
                return Ok(());
            }
            // A slow rate is silent for a while by itself.
            if self.plan.rate.is_none() && stall.lasts(now.requests) {
                bail!("the server has not answered a single request for {STALLED:?}");
            }
            let rps = (now.requests - first) as f64 / passed.as_secs_f64().max(0.001);
            self.progress.at(
                u64::try_from(passed.as_millis()).unwrap_or(u64::MAX),
                format!(
                    "{what} {:.1} of {:.1} s, {} requests/s",
                    passed.as_secs_f64(),
                    time.as_secs_f64(),
                    grouped(rps as u64)
                ),
            );
            self.tick_at_most(time - passed)?;
        }
    }

    fn tick(&mut self) -> Result<()> {
        self.tick_at_most(TICK)
    }

    fn tick_at_most(&mut self, limit: Duration) -> Result<()> {
        std::thread::sleep(TICK.min(limit));
        self.server.as_mut().map_or(Ok(()), |server| server.check())
    }

    fn mark(&mut self, load: &Load) -> Result<Option<Mark>> {
        let Some(server) = &mut self.server else { return Ok(None) };
        let earlier = load.progress().requests;
        let report = server.report()?;
        let later = load.progress().requests;
        Ok(Some(Mark { report, answered: (earlier + later) as f64 / 2.0 }))
    }

    /// Every connection tried so far failed.
    fn nobody_answered(&self, now: load::Progress, load: &Load) -> Error {
        let (place, reasons) = (self.addresses(), reasons(load));
        match now.opened {
            0 => anyhow!("no connection to {place} could be opened: {reasons}"),
            n => {
                anyhow!("{} to {place} could be opened, but no request was echoed: {reasons}", counted(n, "connection"))
            }
        }
    }

    /// There is nothing to put into a table.
    fn nothing_measured(&self, conns: u64, measured: Duration, deserted: bool, outcome: &Outcome) -> Error {
        let faults = load::sentences(&outcome.faults);
        if self.stop.raised() {
            return NothingYet { faults }.into();
        }
        let reason = match self.plan.rate {
            _ if !faults.is_empty() => format!(": {faults}"),
            Some(rate) => {
                format!(": --rate {rate} makes one due every {:.1?}", Duration::from_secs(1).div_f64(rate as f64))
            }
            None => ": replies took longer than that".into(),
        };
        if deserted {
            anyhow!("all {} were lost before a request was measured{reason}", counted(conns, "connection"))
        } else {
            anyhow!("no request was answered in the {:.1} s that were measured{reason}", measured.as_secs_f64())
        }
    }

    fn addresses(&self) -> String {
        self.plan.places.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }
}

/// Notices that a number has stopped growing.
#[derive(Debug)]
struct Stall {
    value: u64,
    since: Instant,
}

impl Stall {
    fn new() -> Stall {
        Stall { value: 0, since: Instant::now() }
    }

    fn lasts(&mut self, value: u64) -> bool {
        if value != self.value {
            *self = Stall { value, since: Instant::now() };
        }
        self.since.elapsed() >= STALLED
    }
}

fn reasons(load: &Load) -> String {
    load::sentences(&load.faults())
}

fn because(load: &Load) -> String {
    let reasons = reasons(load);
    if reasons.is_empty() { reasons } else { format!(": {reasons}") }
}
