//! Time: sleeping, timers, tickers, timeouts.
