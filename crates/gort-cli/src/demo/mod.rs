//! `gort demo`: what becomes of everybody else while somebody blocks the world, with what gort does about it and without.
//!
//! ```text
//! mod ──▶ player ──starts──▶ stage (a process of its own) ─▶ scenes   the situation (`files` has its own file)
//!  │        │ side: figures, one JSON object a line    └───▶ meter    a ticker and an echo pair, and how late they are
//!  └─ table, words                                           both by `actors`: goroutines, or plain threads
//! ```

mod actors;
mod c;
mod files;
mod meter;
mod player;
mod scenes;
mod side;
mod stage;
mod table;
mod words;

use anyhow::Result;
use serde::Serialize;

use crate::args::{Cast, Demo, Situation};
use crate::fanout::Ended;
use crate::out::{self, Looks};
use crate::progress::Progress;
use crate::stop::StopFlag;
use player::{Player, Way};
use side::{Side, Stage};

/// Everything that was found out. The field names are the JSON's.
#[derive(Debug, Serialize)]
struct Outcome {
    name: &'static str,
    #[serde(flatten)]
    stage: Stage,
    duration_s: f64,
    with: Side,
    without: Side,
    /// The same, played by plain threads without gort.
    #[serde(skip_serializing_if = "Option::is_none")]
    plain_threads: Option<Side>,
    /// What is measured, alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    nobody_blocks: Option<Side>,
    /// For `files`: the sockets alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    without_files: Option<Side>,
    /// For `procs`: the same on so many processors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    runs: Vec<OnProcs>,
}

impl Outcome {
    /// Those that are shown side by side.
    fn sides(&self) -> impl Iterator<Item = &Side> {
        let others = [&self.plain_threads, &self.nobody_blocks, &self.without_files];
        [&self.with, &self.without].into_iter().chain(others.into_iter().flatten())
    }

    fn is_bound(&self) -> bool {
        self.stage.bound_because.is_some()
    }
}

/// The situation on so many processors.
#[derive(Debug, Serialize)]
struct OnProcs {
    procs: u64,
    #[serde(flatten)]
    side: Side,
}

/// Plays a situation twice and tells what came of it.
pub fn demo(args: &Demo) -> Result<Ended> {
    if args.play {
        return stage::play(args).map(|()| Ended::Done);
    }
    player::say_what_is_ours();
    let (progress, stop) = (Progress::new(), StopFlag::install()?);
    let player = Player { situation: args.situation, duration: args.duration, progress: &progress, stop: &stop };
    let outcome = both(&player, args);
    progress.clear();
    let Some(outcome) = outcome? else {
        out::stderr("gort: interrupted: both ways have to be played to be compared");
        return Ok(Ended::Interrupted);
    };
    let text = if args.json {
        let mut text = serde_json::to_string(&outcome)?;
        text.push('\n');
        text
    } else {
        table::text(&outcome, args.situation, Looks::of_stdout())
    };
    out::stdout(&text)?;
    Ok(if args.situation == Situation::Deadlock { Ended::Asleep } else { Ended::Done })
}

/// `None`: interrupted.
fn both(player: &Player<'_>, args: &Demo) -> Result<Option<Outcome>> {
    let procs = args.procs.or(args.situation.procs());
    let with_way = Way { name: "with", procs, settings: &[], cast: Cast::Goroutines, hangs: false };
    let without = Way { name: "without", ..with_way };
    let without = match args.situation {
        Situation::Deadlock => {
            Way { settings: &[("GORT_RETAKE", "off"), ("GORT_DEADLOCK", "off")], hangs: true, ..without }
        }
        Situation::Files => Way { cast: Cast::Threads, ..without },
        _ => Way { settings: &[("GORT_RETAKE", "off")], ..without },
    };
    let Some((stage, with)) = player.play(with_way)? else { return Ok(None) };
    let Some((_, without)) = player.play(without)? else { return Ok(None) };
    let mut outcome = Outcome {
        name: args.situation.name(),
        duration_s: args.duration.as_secs_f64(),
        with,
        without,
        plain_threads: None,
        nobody_blocks: None,
        without_files: None,
        runs: Vec::new(),
        stage,
    };
    // As many processors as the first had, also where plain threads play, which have none.
    let same = Way { procs: u32::try_from(outcome.stage.procs).ok(), ..with_way };
    let mut further = Vec::new();
    if args.situation.has_baseline() {
        further.push((&mut outcome.plain_threads, Way { name: "threads", cast: Cast::Threads, ..same }));
        further.push((&mut outcome.nobody_blocks, Way { name: "nobody", cast: Cast::Nobody, ..same }));
    }
    if args.situation == Situation::Files {
        further.push((&mut outcome.without_files, Way { name: "no files", cast: Cast::Nobody, ..same }));
    }
    for (place, way) in further {
        let Some((_, side)) = player.play(way)? else { return Ok(None) };
        *place = Some(side);
    }
    if args.situation == Situation::Procs {
        for (procs, name) in [(1, "1 P"), (2, "2 Ps"), (4, "4 Ps")] {
            let Some((stage, side)) = player.play(Way { name, procs: Some(procs), ..same })? else { return Ok(None) };
            outcome.runs.push(OnProcs { procs: stage.procs, side });
        }
    }
    Ok(Some(outcome))
}
