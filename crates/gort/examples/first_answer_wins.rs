//! The first answer wins: several replicas are asked at once; when one has answered the others are told to stop.
//!
//! `cargo run --release --example first_answer_wins`

use gort::chan::bounded;
use gort::context::{self, Context, Ended};
use std::time::Duration;

/// A replica that takes its time, unless nobody wants the answer any more.
fn ask(ctx: &Context, replica: &'static str, takes: Duration) -> Result<String, Ended> {
    ctx.sleep(takes)?;
    Ok(format!("42, says {replica}"))
}

fn first_answer(ctx: &Context, replicas: &[(&'static str, Duration)]) -> Option<String> {
    let (ctx, cancel) = ctx.with_cancel();
    let _losers_stop = cancel.on_drop();
    let (answer, answers) = bounded(replicas.len());
    for &(replica, takes) in replicas {
        let (ctx, answer) = (ctx.clone(), answer.clone());
        gort::go(move || match ask(&ctx, replica, takes) {
            // There is room for all answers, so nobody waits for a reader who has gone.
            Ok(text) => drop(answer.try_send(text)),
            Err(why) => println!("{replica} stopped: {why}"),
        });
    }
    drop(answer);
    gort::select! {
        recv(answers) -> first => first.ok(),
        recv(ctx.done()) -> _ => None,
    }
}

#[gort::main]
fn main() {
    let ms = Duration::from_millis;
    let replicas = [("Amsterdam", ms(80)), ("Berlin", ms(20)), ("Copenhagen", ms(300))];

    let first = first_answer(&context::background(), &replicas);
    println!("{first:?}");
    assert_eq!(first.as_deref(), Some("42, says Berlin"));

    let (hurry, _cancel) = context::background().with_timeout(ms(5));
    assert_eq!(first_answer(&hurry, &replicas), None);
    println!("nobody answered within 5 ms");
    gort::sleep(ms(5)); // so that the last losers can say that they have stopped
}
