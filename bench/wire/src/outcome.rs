//! What a worker has to say at its end.

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use serde::{Deserialize, Serialize};

/// The figures of one measurement, by name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Each in the unit that its name ends with.
    pub metrics: BTreeMap<String, f64>,
    /// Remarks on how a figure came about, or why one is missing.
    #[serde(default)]
    pub notes: BTreeMap<String, String>,
}

impl Outcome {
    /// Nothing yet.
    pub fn new() -> Outcome {
        Outcome::default()
    }

    /// With one more figure.
    #[must_use]
    pub fn with(mut self, name: &str, value: f64) -> Outcome {
        self.metrics.insert(name.to_owned(), value);
        self
    }

    /// With one more remark.
    #[must_use]
    pub fn noting(mut self, about: &str, what: impl Into<String>) -> Outcome {
        self.notes.insert(about.to_owned(), what.into());
        self
    }

    /// Writes it to stdout as one line.
    ///
    /// # Errors
    /// If stdout is gone.
    pub fn print(&self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        serde_json::to_writer(&mut out, self)?;
        out.write_all(b"\n")?;
        out.flush()
    }
}
