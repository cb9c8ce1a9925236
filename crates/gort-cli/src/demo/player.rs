//! A process that plays a situation, as its parent sees it. It ends when the parent does, by its stdin, and by force when its time is over.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum as _;

use super::side::{Line, Side, Stage};
use crate::args::{Cast, Situation};
use crate::child::{each_line, explain};
use crate::limits::no_thread;
use crate::out;
use crate::progress::{Progress, TICK};
use crate::report::number::grouped;
use crate::stop::StopFlag;

/// From the end of its time, in which it says what came of it, to the end of the process.
const GRACE: Duration = Duration::from_secs(1);
/// A process that says nothing for so long after its time is not going to.
const PATIENCE: Duration = Duration::from_secs(10);
/// Lines of stderr that are kept; all of them are shown as they come.
const MOST_WORDS: usize = 200;

/// What the processes that play have, whatever the user has set: it would make both ways alike.
const OWN: [(&str, &str); 3] = [("GORT_RETAKE", "on"), ("GORT_DEADLOCK", "exit"), ("GORT_WATCHDOG", "log")];
/// Early enough to be heard: by the time that is played.
const AFTER: &str = "GORT_WATCHDOG_AFTER";

/// Says what of the user's environment is not followed.
pub fn say_what_is_ours() {
    let yours = |name: &str| std::env::var_os(name).map(|value| format!("{name}={}", value.display()));
    let yours: Vec<String> = OWN.iter().map(|(name, _)| *name).chain([AFTER]).filter_map(yours).collect();
    if !yours.is_empty() {
        let yours = yours.join(" ");
        out::stderr(format_args!("gort: {yours} is not followed here: what is played has its own, to be compared"));
    }
}

/// What to play, and whom to tell.
#[derive(Debug)]
pub struct Player<'a> {
    /// What.
    pub situation: Situation,
    /// How long.
    pub duration: Duration,
    /// The live line.
    pub progress: &'a Progress,
    /// The user.
    pub stop: &'a StopFlag,
}

/// One way to play it.
#[derive(Debug, Clone, Copy)]
pub struct Way {
    /// What the live line calls it.
    pub name: &'static str,
    /// Processors.
    pub procs: Option<u32>,
    /// Environment.
    pub settings: &'static [(&'static str, &'static str)],
    /// Who plays.
    pub cast: Cast,
    /// It is known to hang.
    pub hangs: bool,
}

/// What comes from the process.
enum Heard {
    Line(Line),
    /// On stderr.
    Word(String),
}

impl Player<'_> {
    /// Plays it in a process of its own: what it was played on and the figures, or `None` if the user has had enough.
    pub fn play(&self, way: Way) -> Result<Option<(Stage, Side)>> {
        let (mut child, heard) = self.start(way)?;
        let played = self.follow(way, &mut child, &heard);
        // Also after an error; one that has ended already does not mind.
        let _ = child.kill();
        let _ = child.wait();
        played
    }

    fn start(&self, way: Way) -> Result<(Child, Receiver<Heard>)> {
        let program = std::env::current_exe().context("cannot find this program's own file to play the situation")?;
        let mut command = Command::new(&program);
        command.arg("demo").arg(self.situation.name()).arg("--play");
        command.arg("--duration").arg(format!("{}ms", self.duration.as_millis()));
        if let Some(cast) = way.cast.to_possible_value() {
            command.arg("--cast").arg(cast.get_name());
        }
        if let Some(procs) = way.procs {
            command.arg("--procs").arg(procs.to_string());
        }
        let after_ms = (self.duration.as_millis() / 4).clamp(100, 1000);
        command.envs(OWN).env(AFTER, format!("{after_ms}ms")).envs(way.settings.iter().copied());
        // A group of its own: Ctrl-C goes to the parent alone, which ends it.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child =
            command.spawn().map_err(|e| no_thread(&format!("the process {} that plays", program.display()), &e))?;
        let (tell, heard) = channel();
        listen(&mut child, &tell).map_err(|e| {
            let _ = child.kill();
            let _ = child.wait();
            no_thread("a thread that listens to the process that plays", &e)
        })?;
        Ok((child, heard))
    }

    fn follow(&self, way: Way, child: &mut Child, heard: &Receiver<Heard>) -> Result<Option<(Stage, Side)>> {
        let total_ms = u64::try_from(self.duration.as_millis()).unwrap_or(u64::MAX);
        self.progress.phase(way.name, total_ms);
        let (mut began, mut stage, mut words) = (Instant::now(), Stage::default(), Vec::new());
        let mut until = began + self.duration + PATIENCE;
        let (mut side, mut news) = (None, String::new());
        let is_killed = loop {
            let passed = began.elapsed().min(self.duration);
            self.progress.at(
                u64::try_from(passed.as_millis()).unwrap_or(0),
                format!("{:.1} of {:.1} s{news}", passed.as_secs_f64(), self.duration.as_secs_f64()),
            );
            if self.stop.raised() {
                return Ok(None);
            }
            match heard.recv_timeout(TICK) {
                Ok(Heard::Line(Line::Begun(its))) => {
                    (began, stage) = (Instant::now(), its);
                    until = began + self.duration + if way.hangs { Duration::ZERO } else { PATIENCE };
                }
                Ok(Heard::Line(Line::Sofar { ticks, echoes })) => {
                    news = format!(", {} ticks, {} echoes", grouped(ticks), grouped(echoes));
                }
                Ok(Heard::Line(Line::Done(figures))) => {
                    side = Some(*figures);
                    until = Instant::now() + GRACE;
                }
                Ok(Heard::Word(word)) => {
                    self.progress.say(&format!("{}: {word}", way.name));
                    if words.len() < MOST_WORDS {
                        words.push(word);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                // Both of its streams have ended.
                Err(RecvTimeoutError::Disconnected) => break false,
            }
            if Instant::now() >= until {
                break true;
            }
        };
        if is_killed {
            let _ = child.kill();
        }
        let status = child.wait().context("cannot wait for the process that plays")?;
        // It may have been on its way out: ten thousand descriptors take their time.
        let is_killed = is_killed && status.code().is_none();
        let expected = if self.situation == Situation::Deadlock { 2 } else { 0 };
        if !is_killed && status.code() != Some(expected) {
            let words = if words.is_empty() { "it left no message" } else { "its words are above" };
            bail!("the process that plays {} ended too early: {}; {words}", self.situation, explain(status));
        }
        if !is_killed && expected == 0 && side.is_none() {
            bail!("the process that plays {} left no figures", self.situation);
        }
        let mut side = side.unwrap_or_default();
        if self.situation == Situation::Deadlock && !is_killed {
            let lasted_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            side.work.insert("ms_to_the_end".into(), lasted_ms);
        }
        (side.status, side.words, side.stuck) = (status.code(), words, side.stuck || is_killed);
        Ok(Some((stage, side)))
    }
}

/// Tells what comes out of the process; the channel ends when both of its streams have.
fn listen(child: &mut Child, tell: &Sender<Heard>) -> std::io::Result<()> {
    if let Some(stdout) = child.stdout.take() {
        let tell = tell.clone();
        thread::Builder::new().spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let Ok(line) = serde_json::from_str(&line) else { return };
                if tell.send(Heard::Line(line)).is_err() {
                    return;
                }
            }
        })?;
    }
    let (stderr, tell) = (child.stderr.take(), tell.clone());
    thread::Builder::new().spawn(move || {
        each_line(stderr, |line| drop(tell.send(Heard::Word(line.to_owned()))));
    })?;
    Ok(())
}
