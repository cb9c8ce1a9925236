//! Contexts: cancellation, deadlines and values that follow a task through its goroutines.
