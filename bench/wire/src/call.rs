//! What a worker is asked to do: `worker <peer> <task> [key=value ..]`.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

/// One call of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// On what the task runs.
    pub peer: String,
    /// What to do, such as `spawn_join`.
    pub task: String,
    params: BTreeMap<String, String>,
}

impl Call {
    /// Reads the arguments after `worker`.
    ///
    /// # Errors
    /// A sentence that names the argument that is missing or wrong.
    pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Call, String> {
        let mut args = args.into_iter();
        let peer = args.next().ok_or("worker: the name of a peer is missing")?;
        let task = args.next().ok_or("worker: the name of a task is missing")?;
        let mut params = BTreeMap::new();
        for arg in args {
            let (key, value) = arg.split_once('=').ok_or_else(|| format!("worker: {arg:?} is not key=value"))?;
            params.insert(key.to_owned(), value.to_owned());
        }
        Ok(Call { peer, task, params })
    }

    /// Reads the arguments of this process, which must begin with `worker`.
    ///
    /// # Errors
    /// As [`Call::parse`].
    pub fn of_this_process() -> Result<Call, String> {
        let mut args = std::env::args().skip(1);
        match args.next().as_deref() {
            Some("worker") => Call::parse(args),
            _ => Err("this program is started by gort-bench, as: worker <peer> <task> [key=value ..]".into()),
        }
    }

    /// A parameter as text.
    ///
    /// # Errors
    /// If it was not given.
    pub fn text(&self, key: &str) -> Result<&str, String> {
        self.params.get(key).map(String::as_str).ok_or_else(|| format!("{}: {key}= is missing", self.task))
    }

    /// A parameter as a number.
    ///
    /// # Errors
    /// If it was not given or is not one.
    pub fn number<T: FromStr<Err: Display>>(&self, key: &str) -> Result<T, String> {
        let text = self.text(key)?;
        text.parse().map_err(|e| format!("{}: {key}={text:?}: {e}", self.task))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Call, String> {
        Call::parse(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn a_call_is_peer_task_and_parameters() {
        let call = parse("gort spawn_join count=100 addr=a=b").unwrap();
        assert_eq!((call.peer.as_str(), call.task.as_str()), ("gort", "spawn_join"));
        assert_eq!(call.number::<u64>("count"), Ok(100));
        assert_eq!(call.text("addr"), Ok("a=b"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(parse("gort").unwrap_err().contains("task"));
        assert!(parse("gort yield count").unwrap_err().contains("\"count\""));
        let call = parse("gort yield count=many").unwrap();
        assert!(call.number::<u64>("count").unwrap_err().contains("count=\"many\""));
        assert!(call.number::<u64>("repeats").unwrap_err().contains("repeats="));
    }
}
