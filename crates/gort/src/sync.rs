//! Locks and other meeting points, for goroutines and threads alike, with std's interfaces.
