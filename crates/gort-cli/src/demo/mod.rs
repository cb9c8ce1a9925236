//! `gort demo`: what becomes of everybody else while somebody blocks the world, with what gort does about it and without.
//!
//! ```text
//! mod ──▶ player ──starts──▶ stage (a process of its own) ─▶ scenes   the situation (`files` has its own file)
//!  │        │ side: figures, one JSON object a line    └───▶ meter    a ticker and an echo pair, and how late they are
//!  └─ table
//! ```

mod c;
mod files;
mod meter;
mod player;
mod scenes;
mod side;
mod stage;
mod table;

use anyhow::Result;
use serde::Serialize;

use crate::args::{Demo, Readers, Situation};
use crate::fanout::Ended;
use crate::out::{self, Looks};
use crate::progress::Progress;
use crate::stop::StopFlag;
use player::{Player, Way};
use side::Side;

/// Everything that was found out. The field names are the JSON's.
#[derive(Debug, Serialize)]
struct Outcome {
    name: &'static str,
    procs: u64,
    duration_s: f64,
    with: Side,
    without: Side,
    /// For `files`: the sockets alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    without_files: Option<Side>,
    /// For `procs`: the same on so many processors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    runs: Vec<OnProcs>,
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
    let with = Way { name: "with", procs, settings: &[], readers: Readers::Goroutines, hangs: false };
    let without = Way { name: "without", ..with };
    let without = match args.situation {
        Situation::Deadlock => {
            Way { settings: &[("GORT_RETAKE", "off"), ("GORT_DEADLOCK", "off")], hangs: true, ..without }
        }
        Situation::Files => Way { readers: Readers::Threads, ..without },
        _ => Way { settings: &[("GORT_RETAKE", "off")], ..without },
    };
    let Some((procs_used, with)) = player.play(with)? else { return Ok(None) };
    let Some((_, without)) = player.play(without)? else { return Ok(None) };
    let mut without_files = None;
    if args.situation == Situation::Files {
        let way = Way { name: "no files", procs, settings: &[], readers: Readers::Nobody, hangs: false };
        let Some((_, side)) = player.play(way)? else { return Ok(None) };
        without_files = Some(side);
    }
    let mut runs = Vec::new();
    if args.situation == Situation::Procs {
        for (procs, name) in [(1, "1 P"), (2, "2 Ps"), (4, "4 Ps")] {
            let way = Way { name, procs: Some(procs), settings: &[], readers: Readers::Goroutines, hangs: false };
            let Some((procs, side)) = player.play(way)? else { return Ok(None) };
            runs.push(OnProcs { procs, side });
        }
    }
    let duration_s = args.duration.as_secs_f64();
    Ok(Some(Outcome { name: args.situation.name(), procs: procs_used, duration_s, with, without, without_files, runs }))
}
