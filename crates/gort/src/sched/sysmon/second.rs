//! Second looks: how often they are worth a wake-up.
//!
//! A look that finds somebody in user code does not tell for how long, so a second one follows soon after (see the monitor). In a busy server, whose calls are
//! all short, each of those is in vain.

/// Whether a look that has found somebody in user code is followed by a second one: as long as such looks find something, or have not been in vain
/// often enough; then now and then.
#[derive(Default)]
pub(super) struct SecondLooks {
    in_vain: u32,
    passed_over: u32,
}

impl SecondLooks {
    const PATIENCE: u32 = 16;
    /// Then at every so many rounds.
    const SELDOM: u32 = 8;

    /// A look has found something.
    pub(super) fn has_found(&mut self) {
        self.in_vain = 0;
    }

    /// Whether one follows a first look, which has found somebody there who was not seen before, or nobody.
    pub(super) fn follows(&mut self, is_new: bool) -> bool {
        if !is_new {
            return false;
        }
        if self.in_vain >= Self::PATIENCE {
            self.passed_over += 1;
            if self.passed_over < Self::SELDOM {
                return false;
            }
        } else {
            self.in_vain += 1;
        }
        self.passed_over = 0;
        true
    }
}
